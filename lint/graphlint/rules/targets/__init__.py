"""Consumers of artifacts: what each takes, what ``--fix`` does for it, and how several combine. One TOML file each."""
