"""Batches, loops and checkpoints of teachers and students."""
