"""Looking at a program: its text with findings in the margin, and its graph as data. Pure."""
