"""What a few reviewed minutes of a patient bring."""
