"""A recipe alone, no code, trains a class of its own on real ECG: `examples/vt.toml`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import beatlens

EXAMPLE = Path(__file__).parents[2] / "examples" / "vt.toml"
SHORT = {"steps": (300, 12), "validate_every": (300, 12), "batch": (32, 8), "cache": (2000, 64)}


@pytest.mark.slow
def test_ventricular_tachycardia_by_its_rhythm_annotations(data_dir: Path, tmp_path: Path) -> None:
    if not (data_dir / "mitdb").is_dir():
        pytest.skip("NO REAL ECG: mitdb is not beside this checkout, a declared class is UNTESTED")
    text = EXAMPLE.read_text(encoding="utf-8")
    for key, (_, short) in SHORT.items():
        text = re.sub(rf"^{key} = \d+$", f"{key} = {short}", text, flags=re.MULTILINE)
    recipe = tmp_path / "vt.toml"
    recipe.write_text(text, encoding="utf-8")
    bundle = beatlens.train(recipe, tmp_path / "run", data_dir)
    assert bundle.classes == ("vt", "pvc")
    assert bundle.titles["vt"] == "ventricular tachycardia"
    rows = json.loads((tmp_path / "run" / "figures.json").read_text(encoding="utf-8"))["rows"]
    assert np.isfinite(rows[0]["ap_vt"])  # some test patients have it, and are labelled so
    recording = beatlens.open("mitdb/223", data_dir)
    counts, _ = next(recording.pieces(0))
    stream = beatlens.stream(
        bundle, recording.rate_hz, recording.counts_per_mv[0], engine="simulator"
    )
    findings = stream.push(counts[: 20 * recording.rate_hz].astype(np.int16))
    assert findings[-1].classes == ("vt", "pvc")
