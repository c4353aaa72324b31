"""Evidence maps, reference attributions, matching losses, fidelity and localisation."""
