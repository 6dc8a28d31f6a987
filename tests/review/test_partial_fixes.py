"""A fix of everything but what somebody accepted: for every real artifact and each of its findings."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from graphlint.rules.diagnostics import Diagnostic, Suppression
from graphlint.rules.settings import Settings
from graphlint.run.engine import process
from graphlint.run.fingerprints import Identity, identity

ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts" / "2.13.0").glob("*.pt2"))


def identities(diagnostics: Sequence[Diagnostic]) -> list[Identity]:
    return [identity(one, "m") for one in diagnostics]


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda path: path.stem)
def test_what_is_accepted_stays_and_the_rest_is_fixed_as_far_as_it_goes(tmp_path, artifact, all_rules):
    kept = Settings(enabled=all_rules.enabled - {"GL501", "GL502", "GL503"}, fixable=all_rules.fixable)
    found = identities(process(str(artifact), kept, "check").diagnostics)
    for index, accepted in enumerate(dict.fromkeys(found)):

        def review(given: Sequence[Diagnostic], accepted: Identity = accepted) -> list[Diagnostic]:
            suppression = Suppression("comment")
            return [
                msgspec.structs.replace(one, suppression=suppression) if identity(one, "m") == accepted else one
                for one in given
            ]

        path = tmp_path / f"{index}.pt2"
        shutil.copy(artifact, path)
        path.chmod(0o644)
        result = process(str(path), kept, "fix", review=review)
        assert result.error is None
        # Of a program whose norms are all fixed, there is nothing to say any more.
        gone = accepted.code == "GL309" and artifact.stem == "batch_norm_training"
        assert Counter(identities(result.suppressed)) == Counter({} if gone else {accepted: found.count(accepted)})
        assert accepted not in identities(result.fixed)
        # What is written says the same to whoever has accepted nothing.
        after = Counter(identities(process(str(path), kept, "check").diagnostics))
        assert after == Counter(identities(result.diagnostics)) + Counter(identities(result.suppressed))
