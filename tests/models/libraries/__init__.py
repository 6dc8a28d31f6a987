"""Models of libraries, small, with random weights, in the variants in which people export them."""

from __future__ import annotations

from tests.models.libraries import language, others, vision
from tests.models.libraries.build import Case

CASES: dict[str, Case] = {**dict(vision.cases()), **dict(others.cases()), **dict(language.cases())}
"""By name: library, model, variant."""
