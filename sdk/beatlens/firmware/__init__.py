"""Turn an int8 graph into a firmware package."""
