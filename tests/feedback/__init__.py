"""What reviews and failed orders say about rules."""
