"""Real architectures from transformers, tiny, with random weights: what the tests and ``compare.py`` export."""

from __future__ import annotations

from zoo import caches, speech, text, vision
from zoo.build import Example, Model

MODELS: dict[str, Model] = {**text.MODELS, **caches.MODELS, **vision.MODELS, **speech.MODELS}
"""By name."""

__all__ = ["MODELS", "Example", "Model"]
