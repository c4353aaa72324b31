"""Which lead of a recording is taken where nobody names one.

Models here are trained on lead II (MLII). Devices write its name in many ways.

>>> usual_lead(["V5", "Lead II"]), is_lead_two("DII"), is_lead_two("ECG2")
(1, True, False)
>>> usual_lead(["EEG Fp1", "Resp", "ECG1"])
2
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LEAD_TWO = re.compile(
    r"(?:(?:ECG|EKG)[ _:-]*)?(?:LEAD[ _:-]*)?(?:ML|D|L)?II(?:[ _]*\+)?|LEAD[ _-]*2", re.IGNORECASE
)
_ECG = re.compile(
    r"(?:ECG|EKG|LEAD).*|(?:ML|D|L)?I{1,3}|(?:ML)?V\d|AV[RLF]|MCL\d|C[MC]\d|MV\d", re.IGNORECASE
)


def is_lead_two(name: str) -> bool:
    """Whether a name is one of lead II: II, MLII, DII, "Lead II", "ECG II" and the like."""
    return _LEAD_TWO.fullmatch(name.strip()) is not None


def usual_lead(names: Sequence[str]) -> int:
    """Row of lead II; where none is called so, of the first with an ECG lead's name, else 0."""
    for fits in (is_lead_two, lambda name: _ECG.fullmatch(name.strip()) is not None):
        for row, name in enumerate(names):
            if fits(name):
                return row
    return 0
