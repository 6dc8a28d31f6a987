"""How the package is laid out. Which layer may import which other ones, `lint-imports` holds (pyproject.toml)."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lint" / "graphlint"


def test_the_package_has_at_most_ten_entries():
    entries = {one.name for one in PACKAGE.iterdir() if not one.name.startswith("__")} - {"py.typed"}
    assert len(entries) <= 10, sorted(entries)
