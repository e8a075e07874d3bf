"""Expressions of composite rules: a part of CEL that is checked before it runs, and bounded in what it costs."""
