"""`python -m benchmarks noise` on real ECG and real noise: released models, two records."""

from __future__ import annotations

from pathlib import Path

from beatlens.runtime.bundle import Bundle
from beatlens.signals.databases import find_database
from benchmarks.robustness.noise import NoiseBench

MODELS = Path(__file__).parents[2] / "models"


def test_noise_spoils_calls_and_warnings_tell(data_dir: Path) -> None:
    mitdb, nstdb = find_database("mitdb", data_dir), find_database("nstdb", data_dir)
    bench = NoiseBench(mitdb, nstdb, ["106", "119"], levels=(0,), lead=1)  # of DS1: to develop on
    for model in ("beats", "strips"):
        rows = bench.rows(Bundle.load(MODELS / model / "bundle"))
        assert [(row["noise"], row["snr_db"]) for row in rows] == [
            ("none", None), ("bw", 0), ("ma", 0), ("em", 0),
        ]  # fmt: skip
        clean, *noisy = rows
        assert clean["same_peak"] == clean["spearman"] == 1
        for row in noisy:
            assert row["wrong"] > clean["wrong"]
            assert row["wrong_warned"] > 90
            assert row["same_peak"] < 0.9
        if model == "beats":
            assert clean["warned"] < 15
            assert noisy[2]["veb_loss"] > 5
        else:
            assert clean["warned"] < 5
