"""The readers: files, Kafka, and what fills its topics."""
