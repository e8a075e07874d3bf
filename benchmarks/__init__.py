"""Measurements of throughput, latency and recovery on this machine: python -m benchmarks."""
