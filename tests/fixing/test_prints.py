"""Prints go only where unsafe fixes are asked for, and everything else stays."""

from __future__ import annotations

import shutil

from graphlint.run.engine import process


def test_a_print_is_removed_by_an_unsafe_fix_only(artifacts, tmp_path, settings_for, judge):
    path = tmp_path / "print.pt2"
    shutil.copy(artifacts / "2.13.0" / "print.pt2", path)
    before = path.read_bytes()
    result = process(str(path), settings_for(enabled={"GL301"}), "fix")
    assert [(one.code, one.fix.applicability) for one in result.diagnostics] == [("GL301", "unsafe")]
    assert (result.changed, path.read_bytes()) == (False, before)

    result = process(str(path), settings_for(enabled={"GL301"}, unsafe_fixes=True), "fix")
    assert ([one.code for one in result.fixed], result.diagnostics, result.changed) == (["GL301"], (), True)

    original = judge.load(artifacts / "2.13.0" / "print.pt2")
    seen, other = (judge.Witness(one).see(*original.example_inputs) for one in (original, judge.load(path)))
    assert "step" in seen.outcome.printed
    assert other.outcome.printed == ""
    assert judge.difference(seen._replace(outcome=seen.outcome._replace(printed="")), other) is None
