"""Run a bundle: numpy and a TFLite interpreter, nothing else."""
