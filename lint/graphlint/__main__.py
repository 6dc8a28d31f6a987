"""``python -m graphlint``."""

from __future__ import annotations

from graphlint.cli.main import main

if __name__ == "__main__":
    main()
