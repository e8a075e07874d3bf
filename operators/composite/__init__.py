"""Composite rules: what expressions may read of an order, and the rules that judge it."""
