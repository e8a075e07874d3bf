"""Where events come from: Kafka, files, the simulator; batches with watermarks."""
