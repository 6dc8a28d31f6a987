"""Real architectures from transformers, tiny, with random weights: what the tests and ``compare.py`` export."""

from __future__ import annotations

from . import caches, speech, text, vision
from .build import Example, Model

MODELS: dict[str, Model] = {**text.MODELS, **caches.MODELS, **vision.MODELS, **speech.MODELS}
"""By name."""
UNFIXABLE = frozenset({"GL003", "GL302", "GL305", "GL309"})
"""What no rewrite should change: code that loading runs (of a cache among the sample inputs), random ops, ops
that nobody has declared, and without being asked, train mode.
"""

__all__ = ["MODELS", "UNFIXABLE", "Example", "Model"]
