"""The released models: every bundle in models/ is whole, runs, and says what its card says."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.runtime.bundle import Bundle

MODELS = Path(__file__).parents[2] / "models"
RELEASED = sorted(path.parent.name for path in MODELS.glob("*/bundle"))


def test_there_are_models() -> None:
    sizes = {"strips": ("-31k", "-10k", "-6k"), "beats": ("-6k",), "wearable-af": ("-6k",)}
    wanted = {f"{name}{size}" for name, small in sizes.items() for size in ("", *small)}
    assert wanted <= set(RELEASED)


@pytest.mark.parametrize("engine", ["simulator", "litert"])
@pytest.mark.parametrize("name", RELEASED)
def test_golden_vectors_hold(name: str, engine: str) -> None:
    bundle = Bundle.load(MODELS / name / "bundle")
    assert bundle.name == name
    bundle.verify(bundle.engine(engine))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RELEASED)
def test_the_card_names_bytes_data_failures_and_use(name: str) -> None:
    bundle = Bundle.load(MODELS / name / "bundle")
    card = (MODELS / name / "README.md").read_text(encoding="utf-8")
    assert f"{len(bundle.tflite):,}" in card
    assert "ot a medical device" in card
    assert "nown failures" in card
    assert bundle.measured["data"]


@pytest.mark.parametrize("name", ["beats", "beats-6k"])
def test_released_beats_run_alike_in_c(name: str, data_dir: Path) -> None:
    from beatlens.signals.databases import find_database

    recording = find_database("mitdb", data_dir).read("119")
    counts = recording.counts[recording.lead("MLII")][: 120 * 360]
    bundle = Bundle.load(MODELS / name / "bundle")
    found = []
    for engine in ("c", "litert"):
        stream = bundle.stream(360, 200.0, rails=(-1024, 1023), engine=engine)  # type: ignore[arg-type]
        beats = [*stream.push(counts), *stream.flush()]
        found.append([(b.time_s, b.class_name, b.probabilities) for b in beats])
    assert found[0] == found[1]
    assert sum(kind == "v" for _, kind, _ in found[0]) > 10


@pytest.mark.parametrize("name", RELEASED)
def test_the_index_names_every_model_and_its_bytes(name: str) -> None:
    folder = MODELS / name / "bundle"
    sizes = [(folder / file).stat().st_size for file in ("model.tflite", "weights.blpk")]
    lines = (MODELS / "README.md").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"| [{name}]({name}) |"))
    assert "{:,} / {:,}".format(*sizes) in line
