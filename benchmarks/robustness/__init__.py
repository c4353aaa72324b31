"""R peaks, signal quality and warnings, also in noise."""
