"""The steps from data to device: plain functions that read and write one run folder."""
