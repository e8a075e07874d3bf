"""Faults on purpose, under the command as a user starts it: what comes out must be what an undisturbed run gives."""
