"""Slow polling: what webhooks left out is asked for at the platform's interface."""
