"""The deployable graphs and their drivers: wiring only, no decisions."""
