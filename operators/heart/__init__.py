"""The heart: key groups, event time, and what components are made of. No rule of the trade stands here."""
