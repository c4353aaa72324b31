"""Recordings in: reading, databases, the integer front end, simulated ECG."""
