"""Windows: one decision every so many seconds, on each class by itself."""
