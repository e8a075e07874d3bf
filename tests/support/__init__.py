"""What several tests share: brokers, timelines, generators."""
