"""Evidence networks and their geometry."""
