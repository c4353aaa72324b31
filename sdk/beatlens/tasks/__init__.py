"""What is decided from which span: labels, spans, ground-truth masks."""
