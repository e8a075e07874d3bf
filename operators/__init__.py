"""The decisions, in pure Python: state and event in, outputs and timers out; no clock, no chance, no I/O."""
