"""The parts of the simulator; ``sources.simulator`` is its door."""
