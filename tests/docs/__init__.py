"""What the documentation says is run here."""
