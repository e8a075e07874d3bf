"""Detectors and the alert lifecycle, each shown by timelines."""
