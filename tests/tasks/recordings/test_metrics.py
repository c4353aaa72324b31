"""The challenge's score, against counts of a confusion matrix by hand; runs over recordings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.calibration import Calibration
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.evaluate.bootstrap import interval
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.signals.rr_features import BINS, FEATURES
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.common.runs import CROP_SPAN, integer_windows
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.recordings.evaluation import build_score
from beatlens.tasks.recordings.labels import RecordingTrack, recording_track
from beatlens.tasks.recordings.metrics import (
    RecordingRun,
    calibrate_recordings,
    f1_by_class,
    published_prior,
    run_integer_recordings,
    run_recordings,
    score_statistic,
    weigh_as_published,
)
from beatlens.tasks.recordings.rule import RecordingRule

from ..recipes import recording_recipe

N, A, O, NOISE = range(4)  # noqa: E741
RECIPE = recording_recipe()
CLASSES = RECIPE.classes
PUBLISHED = (5076, 758, 2415, 279)
"""Recordings of each class in the whole set of the CinC 2017 challenge."""
challenge_score = build_score(RECIPE)
TINY = NetworkSpec("dense", (4, 6, 6), (8, 8, 8), (2, 2, 2))


def by_hand(table: np.ndarray) -> tuple[list[float], float]:
    """F1 of each class and the score of a confusion matrix `[labelled, claimed]`, as the
    challenge's own tables name them: F1n = 2 Nn / (sum N + sum n), and so on."""
    f1 = []
    for c in range(4):
        labelled = sum(int(table[c][k]) for k in range(4))
        claimed = sum(int(table[k][c]) for k in range(4))
        whole = labelled + claimed
        f1.append(2 * int(table[c][c]) / whole if whole else math.nan)
    return f1, (f1[N] + f1[A] + f1[O]) / 3


def recordings_of(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(c, k) for c in range(4) for k in range(4) for _ in range(int(table[c][k]))]
    labels, decided = np.array(pairs, np.int64).reshape(-1, 2).T
    return decided, labels


def test_the_score_of_a_table_worked_out_on_paper() -> None:
    table = np.array([[80, 2, 15, 3], [1, 30, 6, 0], [20, 4, 40, 1], [2, 0, 3, 5]])
    decided, labels = recordings_of(table)
    # 160 / (100 + 103), 60 / (37 + 36), 80 / (65 + 64), 10 / (10 + 9)
    assert f1_by_class(decided, labels, 4).round(6).tolist() == [
        0.788177,
        0.821918,
        0.620155,
        0.526316,
    ]
    assert float(challenge_score(decided, labels)) == pytest.approx(0.743417, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=16, max_size=16), st.randoms(use_true_random=False))
def test_scores_are_those_of_the_confusion_matrix(counts: list[int], random) -> None:
    table = np.array(counts).reshape(4, 4)
    decided, labels = recordings_of(table)
    order = list(range(len(labels)))
    random.shuffle(order)
    f1, score = by_hand(table)
    assert f1_by_class(decided[order], labels[order], 4) == pytest.approx(f1, nan_ok=True)
    assert float(challenge_score(decided[order], labels[order])) == pytest.approx(
        score, nan_ok=True
    )


def test_noise_counts_where_it_is_confused_and_has_no_share_of_its_own() -> None:
    labels = np.array([N, N, A, O, NOISE, NOISE])
    assert float(challenge_score(labels, labels)) == 1
    wrong = np.array([N, N, A, O, O, NOISE])
    assert float(challenge_score(wrong, labels)) == pytest.approx((1 + 1 + 2 / 3) / 3)
    taken = np.array([N, N, A, NOISE, NOISE, NOISE])
    assert float(challenge_score(taken, labels)) == pytest.approx((1 + 1 + 0) / 3)
    assert np.isnan(f1_by_class(np.array([N]), np.array([A]), 4)[[O, NOISE]]).all()
    assert math.isnan(float(challenge_score(np.array([N, A]), np.array([N, A]))))


def test_a_weight_is_as_many_recordings_of_the_same() -> None:
    rng = np.random.default_rng(0)
    decided, labels = rng.integers(0, 4, (2, 40))
    weights = rng.integers(0, 4, (7, 40))
    each = [challenge_score(np.repeat(decided, w), np.repeat(labels, w)) for w in weights]
    assert challenge_score(decided, labels, weights) == pytest.approx(np.array(each))
    assert f1_by_class(decided, labels, 4, weights[0]) == pytest.approx(
        f1_by_class(np.repeat(decided, weights[0]), np.repeat(labels, weights[0]), 4)
    )
    statistic = score_statistic(challenge_score, decided, labels, weights[1])
    assert statistic(weights[:2]) == pytest.approx(
        challenge_score(decided, labels, weights[:2] * weights[1])
    )
    ends = interval(score_statistic(challenge_score, decided, labels), np.arange(40), n=100)
    assert ends.estimate == float(challenge_score(decided, labels))
    assert ends.lo < ends.estimate < ends.hi


def test_recordings_count_as_the_published_set_would_have_them() -> None:
    labels = np.repeat([N, A, O, NOISE], [10, 30, 5, 15])
    weights = weigh_as_published(labels, PUBLISHED)
    for number, count in enumerate(PUBLISHED):
        assert weights[labels == number].sum() == pytest.approx(count)
    assert sum(PUBLISHED) == 8528
    few = weigh_as_published(np.array([A, A, N]), PUBLISHED)
    assert few.tolist() == [758 / 2, 758 / 2, 5076]


def test_the_prior_turns_the_trained_shares_into_the_published_ones() -> None:
    labels = np.repeat([N, A, O, NOISE], [10, 30, 5, 15])
    learnt = np.log(np.bincount(labels) / len(labels))
    raised = np.exp(learnt + published_prior(labels, PUBLISHED))
    wanted = np.array(PUBLISHED) / 8528
    assert raised / raised.sum() == pytest.approx(wanted)
    assert np.isfinite(published_prior(np.array([N, A]), PUBLISHED)).all()


# Runs over recordings


@pytest.fixture(scope="module")
def tracks() -> list[RecordingTrack]:
    """Lengths that fill no window, end in one, and are shorter than one; one without a beat."""
    made = []
    for seed, seconds, label in ((1, 8.03, N), (2, 17.5, A), (3, 3.0, O)):
        rhythm = "afib" if label == A else "sinus"
        patient = simulate_patient(seed, seconds, rhythm=rhythm, rate_hz=300)
        made.append(recording_track(patient.recording, label, LEAD))
    first = made[0]
    made.append(RecordingTrack("still", "made", first.x, first.peaks[:0], first.features[:0], 3))
    return made


@pytest.fixture(scope="module")
def networks(tracks: list[RecordingTrack]) -> tuple[QuantizedEvidenceNet, np.ndarray]:
    torch.manual_seed(0)
    net = build(TINY, CLASSES).eval()
    for weights in net.parameters():
        if weights.ndim == 3:
            torch.nn.init.normal_(weights, 0.0, (2 / weights[0].numel()) ** 0.5)
    quantized = QuantizedEvidenceNet(net).eval()
    quantized.calibrate([torch.from_numpy(to_millivolts(tracks[1].x))[None, None]])
    tables = np.random.default_rng(0).normal(0, 0.5, (len(FEATURES), BINS, len(CLASSES)))
    return quantized, tables


def test_logits_are_mean_evidence_plus_mean_contribution(
    networks: tuple[QuantizedEvidenceNet, np.ndarray], tracks: list[RecordingTrack]
) -> None:
    quantized, tables = networks
    run = run_recordings(quantized, tables, tracks)
    assert run.labels.tolist() == [0, 1, 2, 3]
    geometry = quantized.geometry
    for track, evidence, logits in zip(tracks, run.evidence, run.logits, strict=True):
        columns = len(track.x) // geometry.stride
        held = np.pad(track.x, (geometry.left, geometry.right), mode="edge")
        with torch.no_grad():
            x = torch.from_numpy(to_millivolts(held))[None, None]
            whole = quantized.evidence(x)[0, :, :columns].double().numpy()
        assert evidence == pytest.approx(whole, abs=1e-4)
        contribution = np.zeros(len(CLASSES))
        for beat in track.features:
            contribution += sum(tables[i, beat[i]] for i in range(len(FEATURES))) / len(
                track.features
            )
        assert logits == pytest.approx(whole.mean(axis=1) + contribution, abs=1e-4)
    assert run_recordings(quantized, tables, []).logits.shape == (0, len(CLASSES))


def test_the_int8_model_decides_as_its_float_form(
    networks: tuple[QuantizedEvidenceNet, np.ndarray], tracks: list[RecordingTrack]
) -> None:
    quantized, tables = networks
    graph = build_graph(quantized, CROP_SPAN)
    scale = graph.tensors[graph.outputs["evidence"]].quantization.scale
    offsets = np.array([0.0, 0.4, -0.2, 0.1])
    rule = RecordingRule.from_logits(tables, offsets, scale, Calibration(1.0, np.zeros(4)))
    run, decided = run_integer_recordings(
        integer_windows(graph), graph, quantized.geometry, rule, tracks
    )
    fake = run_recordings(quantized, tables, tracks)
    for exact, simulated in zip(run.evidence, fake.evidence, strict=True):
        assert exact == pytest.approx(simulated, abs=1e-5)
    assert np.abs(run.logits - fake.logits).max() <= 3 * scale / 64 + 1e-5
    assert decided.tolist() == (fake.logits + offsets).argmax(axis=1).tolist()
    assert decided.dtype == np.int64


@pytest.mark.rounding
def test_calibration_makes_labels_likelier() -> None:
    """The best temperature is 25 / 5, and the best bias of the second class -2 / 5."""
    rng, count = np.random.default_rng(0), 20_000  # the bias has a standard deviation of .02
    labels = rng.integers(0, 4, count)
    logits = 5 * np.eye(4)[labels] + rng.normal(0, 5, (count, 4)) + np.array([0, 2.0, 0, 0])
    blank = np.zeros(8, np.int8)
    tracks = [RecordingTrack("a", "b", blank, blank[:0], np.zeros((0, 6), int), int(label))
              for label in labels]  # fmt: skip
    calibration = calibrate_recordings(RecordingRun(tracks, [], logits))
    rows = np.arange(count)
    none = Calibration(1.0, np.zeros(4))
    likelihoods = [c.probabilities(logits)[rows, labels] for c in (calibration, none)]
    assert np.log(likelihoods[0]).mean() > np.log(likelihoods[1]).mean()
    assert calibration.temperature == pytest.approx(5, rel=0.1)
    assert calibration.bias[1] - calibration.bias[0] == pytest.approx(-0.4, abs=0.1)
