"""What makes this repository's own pictures and tables, beside the package and not in the wheel."""
