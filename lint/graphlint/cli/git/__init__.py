"""Letting git show graph changes: a text for each artifact, and the settings that make git ask for it."""
