"""Prints go only where unsafe fixes are asked for, and everything else stays."""

from __future__ import annotations

import shutil

from graphlint.run.engine import process


def test_a_print_is_removed_by_an_unsafe_fix_only(artifacts, tmp_path, settings_for, capfd):
    path = tmp_path / "print.pt2"
    shutil.copy(artifacts / "2.13.0" / "print.pt2", path)
    before = path.read_bytes()
    result = process(str(path), settings_for(enabled={"GL301"}), "fix")
    assert [(one.code, one.fix.applicability) for one in result.diagnostics] == [("GL301", "unsafe")]
    assert (result.changed, path.read_bytes()) == (False, before)

    result = process(str(path), settings_for(enabled={"GL301"}, unsafe_fixes=True), "fix")
    assert ([one.code for one in result.fixed], result.diagnostics, result.changed) == (["GL301"], (), True)

    import torch

    original = torch.export.load(artifacts / "2.13.0" / "print.pt2")
    fixed = torch.export.load(path)
    (value,), _ = original.example_inputs
    expected = original.module()(value)
    assert "step" in capfd.readouterr().out
    assert torch.equal(fixed.module()(value), expected)
    assert "step" not in capfd.readouterr().out
