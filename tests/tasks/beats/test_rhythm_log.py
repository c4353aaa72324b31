"""Rhythms out of findings: roles of classes, intervals that are not known, and the summary."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from beatlens.errors import ModelError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.fields import Fields
from beatlens.runtime.finding import Finding
from beatlens.tasks.beats.beat_codes import role_of
from beatlens.tasks.beats.rhythm_kinds import RhythmEvent, Role
from beatlens.tasks.beats.rhythm_log import RhythmLog, find_rhythms
from beatlens.tasks.beats.rule import BeatRule, read_rule, write_rule
from beatlens.tasks.registry import default_recipe

CODES = {"n": "NLRBej", "s": "SAaJn", "v": "VrE", "f": "F"}


def bundle_of(codes: dict[str, str]) -> SimpleNamespace:
    """What a log asks of a bundle whose classes have these codes."""
    rule = object.__new__(BeatRule)
    object.__setattr__(rule, "codes", tuple(codes.values()))
    return SimpleNamespace(rule=rule, classes=tuple(codes), name="made", kind_name="beats")


def findings_of(text: str, rr: float = 0.75, gaps: tuple[int, ...] = ()) -> list[Finding]:
    """Beats of the classes in `text`, `-` without a decision; intervals before `gaps` unknown."""
    return [
        Finding(
            start_s=1 + rr * number, end_s=2 + rr * number, peak_s=1.5 + rr * number,
            rr_s=None if number == 0 or number in gaps else rr,
            assessable=name != "-", quality_notes=(), quality=1.0, classes=tuple(CODES),
            predicted=() if name == "-" else (name,),
        )
        for number, name in enumerate(text)
    ]  # fmt: skip


def rhythms(text: str, codes: dict[str, str] = CODES, **given: object) -> list[RhythmEvent]:
    found = find_rhythms(findings_of(text, **given), bundle_of(codes))  # type: ignore[arg-type]
    return [event for event in found if event.kind != "minute"]


def test_rhythms_of_findings() -> None:
    [couplet] = rhythms("nvvn")
    assert (couplet.kind, couplet.first, couplet.last, couplet.rate) == (
        "ventricular_couplet", 1, 2, 80,
    )  # fmt: skip
    assert (couplet.start_s, couplet.end_s) == (2.25, 3.0)
    assert couplet.as_dict() == {
        "rhythm": "ventricular_couplet", "start_s": 2.25, "end_s": 3.0, "first_beat": 1,
        "last_beat": 2, "rate": 80,
    }  # fmt: skip
    assert rhythms("nvvn", gaps=(2,)) == rhythms("nv-vn") == []
    assert [event.kind for event in rhythms("nn", rr=2.5)] == ["pause"]
    assert rhythms("nn", rr=2.5, gaps=(1,)) == []


def test_fusion_beats_end_runs() -> None:
    assert [(e.kind, e.count) for e in rhythms("nvvfvvn")] == [("ventricular_couplet", 2)] * 2


def test_other_classes_have_no_rhythm_of_theirs() -> None:
    """Classes of mixed or unknown codes: rates and pauses only."""
    mixed = {"n": "NA", "s": "?", "v": "VF", "f": "/"}
    assert rhythms("vvvvnvnvnvnsss", mixed) == []
    assert [event.kind for event in rhythms("vv", mixed, rr=3.0)] == ["pause"]


def test_the_summary_of_a_recording() -> None:
    log = RhythmLog(bundle_of(CODES))  # type: ignore[arg-type]
    for finding in findings_of("nnnnnnnnnvvnvvvnvvvvvnsn-n"):
        log.take(finding)
    log.end()
    summary = log.summary()
    assert summary.beats == {
        Role.N: 14, Role.S: 1, Role.V: 10, Role.OTHER: 0, Role.NONE: 1
    }  # fmt: skip
    assert summary.burden(Role.V) == 0.4
    assert (summary.least_rate, summary.mean_rate, summary.most_rate) == (80, 80, 80)
    assert {kind: (one.count, one.beats) for kind, one in summary.kinds.items()} == {
        "ventricular_couplet": (1, 2), "idioventricular_rhythm": (2, 8),
    }  # fmt: skip
    assert summary.kinds["idioventricular_rhythm"].longest.count == 5
    assert summary.as_dict() == {
        "rate least": 80, "rate mean": 80, "rate most": 80, "burden v %": 40.0, "burden s %": 4.0,
        "rhythm ventricular_couplet": 1, "rhythm idioventricular_rhythm": 2,
        "rhythm idioventricular_rhythm longest_s": 3.0,
    }  # fmt: skip


def test_the_summary_of_nothing() -> None:
    log = RhythmLog(bundle_of(CODES))  # type: ignore[arg-type]
    assert log.end() == []
    summary = log.summary()
    assert (summary.least_rate, summary.mean_rate, summary.most_rate) == (0, 0, 0)
    assert summary.burden(Role.V) == 0.0
    assert summary.kinds == {}


def test_a_bundle_of_windows_has_none() -> None:
    bundle = Bundle.load("strips")
    assert RhythmLog.of(bundle) is None
    with pytest.raises(ModelError, match="expected one of beats"):
        find_rhythms([], bundle)


# What classes are


@pytest.mark.parametrize(("codes", "role"), [
    ("NLRBej", Role.N), ("S", Role.S), ("SAaJn", Role.S), ("VrE", Role.V), ("F", Role.OTHER),
    ("VF", Role.OTHER), ("/f", Role.OTHER), ("Q", Role.OTHER), ("?", Role.OTHER), ("", Role.OTHER),
])  # fmt: skip
def test_roles(codes: str, role: Role) -> None:
    assert role_of(codes) == role


def test_codes_of_the_recipe() -> None:
    assert default_recipe("beats").task.codes == tuple(CODES.values())  # type: ignore[attr-defined]


def test_codes_go_into_a_bundle_and_come_out() -> None:
    rule = Bundle.load("beats").rule
    classes = tuple(CODES)
    document = write_rule(rule, classes) | {"codes": CODES}
    read = read_rule(Fields("f", document), classes, 120, rule.scale)
    assert read.codes == tuple(CODES.values())
    assert read.roles == (Role.N, Role.S, Role.V, Role.OTHER)
    assert write_rule(read, classes)["codes"] == CODES
    np.testing.assert_array_equal(read.tables, rule.tables)


def test_a_bundle_made_before_codes_is_read_by_its_names() -> None:
    rule = Bundle.load("beats").rule
    for classes, codes in (
        (("n", "s", "v", "f"), ("N", "S", "V", "F")),
        (("usual", "s", "late", "f"), ("?", "S", "?", "F")),
    ):
        document = write_rule(rule, ("n", "s", "v", "f"))
        document.pop("codes", None)
        document["never_if_clipped"] = []
        assert read_rule(Fields("f", document), classes, 120, rule.scale).codes == codes


@pytest.mark.parametrize(("codes", "problem"), [
    ({"n": "N", "s": "S", "v": "V"}, "codes.f is missing"),
    (CODES | {"q": "Q"}, "'q' is unknown"),
    (CODES | {"v": ""}, "codes.v is ''"),
    (CODES | {"v": "VX"}, "codes.v is 'VX'"),
    (CODES | {"v": "VV"}, "codes.v is 'VV'"),
    (CODES | {"v": "VN"}, "codes.v is 'VN', expected codes that are there once"),
    (["N", "S", "V", "F"], "expected an object"),
])  # fmt: skip
def test_codes_that_are_refused(codes: object, problem: str) -> None:
    rule = Bundle.load("beats").rule
    document = write_rule(rule, tuple(CODES)) | {"codes": codes}
    with pytest.raises(ModelError, match=problem.replace(".", r"\.")):
        read_rule(Fields("f", document), tuple(CODES), 120, rule.scale)


def test_released_models_of_beats_know_their_roles() -> None:
    for folder in sorted((Path(__file__).parents[3] / "models").glob("beats*/bundle")):
        assert Bundle.load(folder).rule.roles == (Role.N, Role.S, Role.V, Role.OTHER)
