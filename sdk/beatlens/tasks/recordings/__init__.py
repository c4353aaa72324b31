"""Recordings: one decision on a whole recording, for one of the classes."""
