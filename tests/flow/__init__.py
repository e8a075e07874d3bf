"""The whole flow: both drivers, against the oracle, over any input."""
