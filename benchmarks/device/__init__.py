"""What the C engine costs: instructions, flash, RAM, stack, and time on a computer."""
