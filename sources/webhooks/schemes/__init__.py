"""How platforms sign what they send, and what they want to hear. ``docs/intake.md`` names the documents."""
