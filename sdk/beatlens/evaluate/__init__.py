"""Accuracy, fidelity and localisation of models on records, with intervals."""
