"""Live rules: which rule documents are in effect in a key group, and when."""
