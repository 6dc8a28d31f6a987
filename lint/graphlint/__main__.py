"""``python -m graphlint``."""

from graphlint.cli.main import main

if __name__ == "__main__":
    main()
