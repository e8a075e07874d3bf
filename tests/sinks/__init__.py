"""Where results go: each sink against the real thing."""
