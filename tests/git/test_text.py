"""The text that git compares, and the line in the attributes."""

from __future__ import annotations

import shutil
import zipfile

import pytest

from graphlint.cli.git import LINE, added, artifact_text, removed


def test_the_text_of_an_artifact(artifacts):
    assert (
        artifact_text(str(artifacts / "2.13.0" / "cond_mutation.pt2"))
        == """\
program TRAINING
graph(
    %x: f32[3, 4],
):
  %sum_1: f32[] = aten.sum.default(%x)
  %gt: b8[] = aten.gt.Scalar(%sum_1, 0)
  %getitem: f32[3, 4] = higher_order.cond(%gt, @true_graph_0, @false_graph_0, [%x])
    @true_graph_0(
        %x: f32[3, 4],
    ):
      %add: f32[3, 4] = aten.add.Tensor(%x, 1)
      %mul_: f32[3, 4] = aten.mul_.Tensor(%add, 2)
      return %mul_
    @false_graph_0(
        %x: f32[3, 4],
    ):
      %sub: f32[3, 4] = aten.sub.Tensor(%x, 1)
      return %sub
  return %getitem

"""
    )


@pytest.mark.parametrize("name", ["key_value_cache", "two_programs", "dynamic_batch", "nested"])
def test_another_version_of_torch_gives_the_same_text(artifacts, name):
    old, new = (artifact_text(str(artifacts / version / f"{name}.pt2")) for version in ("2.12.1", "2.13.0"))
    assert "program TRAINING" in old
    assert old == new


def test_another_file_name_gives_the_same_text(artifacts, tmp_path):
    path = artifacts / "2.13.0" / "clean.pt2"
    shutil.copy(path, tmp_path / "git-blob-x1")
    assert artifact_text(str(tmp_path / "git-blob-x1")) == artifact_text(str(path))


def test_other_weights_are_another_text(artifacts, tmp_path):
    path = artifacts / "2.13.0" / "clean.pt2"
    changed = tmp_path / "changed.pt2"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info, bytes(len(data)) if info.filename.endswith("weights/weight_0") else data)
    before, after = artifact_text(str(path)).splitlines(), artifact_text(str(changed)).splitlines()
    assert len(before) == len(after)
    [(old_line, new_line)] = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert old_line.startswith("data/weights/weight_0: 128 bytes, crc32 ")
    assert new_line.startswith("data/weights/weight_0: 128 bytes, crc32 ")


def test_several_programs_and_a_broken_one(artifacts, tmp_path):
    broken = tmp_path / "broken.pt2"
    with zipfile.ZipFile(artifacts / "2.13.0" / "two_programs.pt2") as old, zipfile.ZipFile(broken, "w") as new:
        for info in old.infolist():
            new.writestr(info, b"{" if info.filename.endswith("models/encoder.json") else old.read(info))
    lines = artifact_text(str(broken)).splitlines()
    assert lines[0] == 'program "encoder":'
    assert lines[1].startswith("(not a readable program: ")
    assert 'program "decoder":' in lines


LFS = "*.pt2 filter=lfs diff=lfs merge=lfs -text\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{LINE}\n"),
        ("*.png binary\n", f"*.png binary\n{LINE}\n"),
        ("*.png binary", f"*.png binary\n{LINE}"),
        ("a\r\n", f"a\r\n{LINE}\r\n"),
        (LFS, f"{LFS}{LINE}\n"),
        # What comes later has the last word.
        (f"{LINE}\n{LFS}", f"{LINE}\n{LFS}{LINE}\n"),
        (f"{LINE}\n*.pt2 binary\n", f"{LINE}\n*.pt2 binary\n{LINE}\n"),
        (f"{LINE}\n*.pt2 -text\n", f"{LINE}\n*.pt2 -text\n"),
    ],
)
def test_the_line_goes_to_the_end(before, after):
    assert added(before) == after
    assert added(after) == after
    if LINE not in before:
        assert removed(after) == before
    assert LINE not in removed(after)


@pytest.mark.parametrize("text", ["", "*.png binary", "a\n\n", "#\n"])
def test_without_the_line_nothing_is_removed(text):
    assert removed(text) == text
