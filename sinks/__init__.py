"""Where results go: Kafka, Redis, files; each record once."""
