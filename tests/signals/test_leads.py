"""Which lead is taken where nobody names one."""

from __future__ import annotations

import pytest

from beatlens.signals.leads import is_lead_two, usual_lead


@pytest.mark.parametrize(
    "name",
    ["II", "MLII", "ii", "Lead II", "LEAD_II", "DII", "LII", "ECG II", "ECG Lead II", "Lead 2"],
)
def test_names_of_lead_two(name: str) -> None:
    assert is_lead_two(name)


@pytest.mark.parametrize("name", ["I", "III", "ECG2", "V2", "ECG", "BP II x", "Resp II", ""])
def test_other_names(name: str) -> None:
    assert not is_lead_two(name)


@pytest.mark.parametrize(
    ("names", "row"),
    [
        (["V5", "MLII"], 1),
        (["I", "II", "III"], 1),
        (["aVR", "Lead II"], 1),
        (["ECG1", "ECG2"], 0),
        (["EEG Fp1", "EEG C3", "ECG1"], 2),
        (["ABP", "PLETH", "V"], 0),
        (["Resp", "aVF"], 1),
        (["ICP", "IBP", "MCL1"], 2),
    ],
)
def test_lead_two_then_an_ecg_lead_then_the_first(names: list[str], row: int) -> None:
    assert usual_lead(names) == row
