"""The configuration and its units."""
