"""Programs that were exported in train mode become what the same model is after ``.eval()``."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

RULES = frozenset({"GL101", "GL102", "GL103", "GL107", "GL302", "GL303", "GL309"})


class Layers(nn.Module):
    """Layers one after the other."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x * 2)


class InRegion(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        with torch.no_grad():
            y = self.dropout(x + 1)
        return self.norm(y)


class WrittenAfterwards(nn.Module):
    """The result of dropout is written, which in eval mode is the tensor before it."""

    def forward(self, x):
        y = x + 1
        z = nn.functional.dropout(y, 0.5, self.training)
        z.add_(1)
        return y + z


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.LSTM(6, 4, 2, dropout=0.5)
        self.second = nn.GRU(4, 3, 2, dropout=0.2)
        self.third = nn.RNN(3, 3, 2, dropout=0.2)

    def forward(self, x):
        return self.third(self.second(self.first(x[0])[0])[0])[0]


class Counted(nn.Module):
    """Returns how many batches there were, which counts on in training only."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(x), self.norm.num_batches_tracked + 1


CASES = {
    "batch-norms": Layers(nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4, affine=False, momentum=0.3)),
    "batch-norm-alone": nn.BatchNorm2d(4),
    "no-running-statistics": Layers(nn.BatchNorm2d(4, track_running_stats=False), nn.Dropout(0.5)),
    "instance-norm": Layers(nn.InstanceNorm2d(4, track_running_stats=True, affine=True)),
    "dropouts": Layers(
        nn.Dropout(0.5),
        nn.Dropout2d(0.3),
        nn.AlphaDropout(0.2),
        nn.FeatureAlphaDropout(0.2),
        nn.Dropout(0.5, inplace=True),
    ),
    "rrelu": Layers(nn.RReLU(), nn.RReLU(inplace=True)),
    "all-at-once": Layers(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.1), nn.RReLU()),
    "region": InRegion(),
    "written-afterwards": WrittenAfterwards(),
    "recurrent": Recurrent(),
    "counted": Counted(),
}
CALLS = [torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]


@pytest.fixture
def export(tmp_path, judge):
    """Exports a module in the mode given, optionally below the training dialect; the artifact's path."""

    def export(module, *, training, decomposed=False):
        module = copy.deepcopy(module).train(training)
        program = judge.quiet(torch.export.export, module, (CALLS[0],))
        path = tmp_path / f"{'train' if training else 'eval'}.pt2"
        judge.save(judge.decomposed(program) if decomposed else program, path)
        return path

    return export


@pytest.fixture
def to_eval(fix_copy, settings_for):
    """Fixes a copy of an artifact with unsafe fixes on, of GL309 only unless told otherwise."""

    def fix(path, fixable=frozenset({"GL309"})):
        return fix_copy(path, settings=settings_for(enabled=RULES, fixable=fixable, unsafe_fixes=True))

    return fix


@pytest.mark.parametrize("fixable", [frozenset({"GL309"}), RULES], ids=["alone", "functionalized"])
@pytest.mark.parametrize("module", CASES.values(), ids=CASES)
def test_the_fixed_program_is_the_one_in_eval_mode(export, to_eval, judge, module, fixable):
    path, result = to_eval(export(module, training=True), fixable)
    assert result.fixed[0].code == "GL309"
    assert not {"GL107", "GL302", "GL303", "GL309"} & {one.code for one in result.diagnostics}
    evaluated = judge.load(export(module, training=False))
    fixed = judge.load(path)
    assert fixed.state_dict.keys() == evaluated.state_dict.keys()
    ours, theirs = judge.Witness(fixed), judge.Witness(evaluated)
    for call in CALLS:
        assert judge.difference(theirs.see((call,)), ours.see((call,))) is None


@pytest.mark.parametrize("name", ["batch-norms", "dropouts", "all-at-once", "recurrent"])
def test_the_fixed_graph_is_the_one_in_eval_mode(export, to_eval, read_text, name):
    path, _ = to_eval(export(CASES[name], training=True))
    ours, theirs = (
        [line.split(" = ")[-1] for line in read_text(one).splitlines() if " = aten." in line]
        for one in (path, export(CASES[name], training=False))
    )
    assert [one.split("(")[0] for one in ours] == [one.split("(")[0] for one in theirs]


def test_it_is_told_once_and_first(export, settings_for):
    from graphlint.run.engine import process

    path = export(Layers(nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Dropout(0.1), nn.RReLU()), training=True)
    result = process(str(path), settings_for(enabled=RULES), "check")
    first, *others = result.diagnostics
    assert (first.code, first.message) == ("GL309", "exported in train mode: 2 dropouts, 1 norm, 1 other op")
    assert first.fix.applicability == "unsafe"
    assert "GL309" not in {one.code for one in others}


def test_nothing_changes_without_unsafe_fixes(export, fix_copy, settings_for):
    settings = settings_for(enabled={"GL309"})
    _, result = fix_copy(export(CASES["dropouts"], training=True), settings=settings)
    assert ([one.code for one in result.diagnostics], result.changed) == (["GL309"], False)


def test_a_note_tells_of_it_where_a_fix_leaves_nothing_that_shows_it(export, fix_copy, settings_for):
    path = export(nn.BatchNorm2d(4), training=True)
    note = (
        "program 'model': exported in train mode: 1 norm; the fix keeps that "
        "(if it was not meant, call `model.eval()` before exporting)"
    )
    for enabled, notes in ((RULES, (note,)), (RULES - {"GL309"}, ())):
        _, result = fix_copy(path, settings=settings_for(enabled=enabled))
        assert (result.diagnostics, result.changed, result.notes) == ((), True, notes)
    _, result = fix_copy(path, settings=settings_for(enabled=RULES, unsafe_fixes=True))
    assert (result.diagnostics, result.changed, result.notes) == ((), True, ())


def test_a_program_in_eval_mode_has_no_such_finding(export, settings_for):
    from graphlint.run.engine import process

    for module in CASES.values():
        result = process(str(export(module, training=False)), settings_for(enabled={"GL309"}), "check")
        assert result.diagnostics == ()


def test_statistics_that_are_results_already_stay(export, to_eval):
    path = export(Layers(nn.BatchNorm2d(4), nn.Dropout(0.5)), training=True, decomposed=True)
    _, result = to_eval(path)
    (found,) = [one for one in result.diagnostics if one.code == "GL309"]
    assert (found.fix.applicability, result.changed) == ("none", False)
    assert "returns its running statistics" in found.fix.message


def test_native_dropout(export, to_eval, judge):
    path, result = to_eval(export(Layers(nn.Dropout(0.5)), training=True, decomposed=True))
    assert [one.code for one in result.fixed] == ["GL309"]
    ours, theirs = (
        judge.Witness(judge.load(one))
        for one in (path, export(Layers(nn.Dropout(0.5)), training=False, decomposed=True))
    )
    for call in CALLS:
        assert judge.difference(theirs.see((call,)), ours.see((call,))) is None


WRITTEN = (
    "what aten.dropout.default returns is written in place, and in eval mode that may be the caller's or the module's"
)
REFUSED = {
    "written-input": (
        "  %y: f32[3] = aten.dropout.default(%x, 0.5, True)\n  %z: f32[3] = aten.add_.Tensor(%y, 1)\n",
        WRITTEN,
    ),
    "written-through-another": (
        """\
  %a: f32[3] = aten.dropout.default(%x, 0.5, True)
  %y: f32[3] = aten.dropout.default(%a, 0.5, True)
  %z: f32[3] = aten.add_.Tensor(%y, 1)
""",
        WRITTEN,
    ),
    "another-layout": (
        """\
  %e: f32[2, 3]{0, 1} = aten.expand.default(%x, [2, 3])
  %y: f32[2, 3] = aten.dropout.default(%e, 0.5, True)
  %z: f32[2, 3] = aten.sin.default(%y)
""",
        "aten.dropout.default returns its operand in eval mode, which is laid out otherwise than its result",
    ),
    "an-argument-that-is-missing": (
        "  %z: f32[3], %m: b8[3] = aten.native_dropout.default(%x, 0.5)\n",
        "what aten.native_dropout.default is in eval mode is not known",
    ),
    "an-op-without-that-mode": (
        "  %z: f32[3], %m: u8[3] = aten._fused_dropout.default(%x, 0.5)\n",
        "what aten._fused_dropout.default is in eval mode is not known",
    ),
}


@pytest.mark.parametrize(("nodes", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_promised_stays(to_eval, write_pt2, nodes, reason):
    path = write_pt2(f"program TRAINING\ngraph(%x: f32[3]):\n{nodes}  return %z\n")
    _, result = to_eval(path)
    (found,) = [one for one in result.diagnostics if one.code == "GL309"]
    assert (found.fix.message, result.changed) == (reason, False)
