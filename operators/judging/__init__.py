"""Judging rules by what they gave: alerts of two runs side by side, and what became of the orders."""
