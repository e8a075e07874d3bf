"""The simulator's logs and its truth."""
