"""graphlint: a linter and fixer for exported PyTorch programs."""

from __future__ import annotations

__version__ = "0.1.0"
