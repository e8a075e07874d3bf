"""The tests; those marked kafka start a real broker."""
