"""Webhooks of platforms: taken in and kept as they came, mapped in a second step, gaps filled by slow polling."""
