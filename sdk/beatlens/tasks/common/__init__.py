"""What all kinds of span share: reading, conditioning and keeping tracks, drawing crops."""
