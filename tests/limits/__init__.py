"""Limits that adapt."""
