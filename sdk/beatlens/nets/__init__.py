"""Evidence networks: backbones, head and files."""
