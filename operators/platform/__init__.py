"""The flow itself watched: dead letters, backlog, what does not answer. The one room that judges by wall time."""
