"""Where the evidence of beats lies, and whether decisions rest on it."""
