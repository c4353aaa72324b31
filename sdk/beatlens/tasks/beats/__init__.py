"""Beats: one decision at each R peak, for one of the classes."""
