"""Compression methods, one file each, that keep what a network explains."""
