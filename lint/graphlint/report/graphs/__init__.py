"""Graphs as people and programs look at them: as text, JSON, Graphviz text and pictures. Pure: no files, no output."""
