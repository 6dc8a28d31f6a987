"""The model's source files: which one an artifact speaks of, what a line of it says, which findings it accepts."""
