"""The training loop: it trains, stops, keeps the best, resumes exactly, and runs on two ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from beatlens.attribution.matching import SSWA
from beatlens.compression.distill import DistillObjective, DistillWeights, TeacherCache
from beatlens.errors import ModelError, RecipeError
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.windows.labels import SPAN
from beatlens.tasks.windows.sampling import WindowSampler
from beatlens.training.loop import History, Schedule, fit

from ..nets.networks import CLASSES, SMALL, lively
from ..tasks.tracks import make_track
from . import problems
from .problems import Labelled, batches_of, evidence_net, plain_net, score

pytestmark = pytest.mark.rounding
QUICK = Schedule(steps=12, batch=4, learning_rate=1e-2, validate_every=3)


class Interrupted(Exception):
    """Stands for a power cut."""


def train(net, schedule: Schedule = QUICK, **settings) -> History:
    settings = {"validate": lambda: score(net), "score": "score", **settings}
    return fit(Labelled(net), net, batches_of(), schedule, **settings)


def equal_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_training_learns() -> None:
    net = evidence_net()
    before = score(net)["score"]
    steps: list[tuple[int, int, dict[str, float]]] = []
    schedule = Schedule(steps=150, batch=16, learning_rate=3e-2, validate_every=50)
    history = train(net, schedule, report=lambda *call: steps.append(call))
    assert history.best_score > before + 0.1
    assert score(net)["score"] == history.best_score
    assert [row["step"] for row in history.rows] == [50, 100, 150]
    assert history.rows[-1]["loss"] < 0.7 * history.rows[0]["loss"]
    assert not net.training
    assert [step for step, total, _ in steps if total == 150][:3] == [25, 50, 50]


def test_the_last_weights_are_kept_where_asked_for() -> None:
    scores = iter([3.0, 2.0, 1.0, 0.0])
    seen: list[dict[str, torch.Tensor]] = []
    net = evidence_net()

    def validate() -> dict[str, float]:
        seen.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        return {"score": next(scores)}

    history = train(net, replace(QUICK, keep="last"), validate=validate)
    assert history.best_step == QUICK.validate_every
    assert all(torch.equal(tensor, seen[-1][name]) for name, tensor in net.state_dict().items())
    assert not net.training
    with pytest.raises(RecipeError, match="keep is 'first', expected best or last"):
        replace(QUICK, keep="first")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("fails_at", [6, 12])
def test_a_resumed_run_ends_with_the_very_same_weights(
    precision: str, fails_at: int, tmp_path: Path
) -> None:
    schedule = replace(QUICK, precision=precision)
    whole = evidence_net()
    expected = train(whole, schedule)

    net = evidence_net()
    checkpoint = tmp_path / "run.checkpoint"
    calls = 0

    def validate() -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls * schedule.validate_every == fails_at:
            raise Interrupted
        return score(net)

    with pytest.raises(Interrupted):
        train(net, schedule, validate=validate, checkpoint=checkpoint)
    if fails_at < schedule.steps:
        assert not equal_weights(net, whole)

    seen: list[int] = []
    again = evidence_net(seed=99)  # nothing of the resumed run comes from its fresh weights
    history = fit(
        Labelled(again),
        again,
        batches_of(seen),
        schedule,
        lambda: score(again),
        score="score",
        checkpoint=checkpoint,
    )
    assert seen == list(range((fails_at - 3) * 4, 12 * 4))  # nothing is trained on twice
    assert equal_weights(again, whole)
    assert history == expected


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    net = evidence_net()
    train(net, checkpoint=tmp_path / "run.checkpoint")
    again, seen = evidence_net(seed=9), []
    fit(
        Labelled(again),
        again,
        batches_of(seen),
        QUICK,
        lambda: score(again),
        score="score",
        checkpoint=tmp_path / "run.checkpoint",
    )
    assert seen == []
    assert equal_weights(net, again)


def test_stochastic_matching_resumes_exactly_too(tmp_path: Path) -> None:
    tracks = [make_track([(600, "V"), (2000, "A")], afib=[(2200, 3000)])]
    sampler = WindowSampler(tracks, CLASSES, 0, {"pvc": 0.5}, augmentation=Augmentation())
    cache = TeacherCache(lively(SMALL["dense"], seed=3), sampler, 12, span=SPAN, activations=True)
    weights = DistillWeights(kd=0.5, matching=5.0)

    def run(validate_fails: bool, checkpoint: Path | None):
        student = lively(SMALL["dense"], seed=4)
        matching = SSWA(0.5)
        objective = DistillObjective(student, cache, weights, matching)

        def validate() -> dict[str, float]:
            if validate_fails and matching.batches == 4:
                raise Interrupted
            return {"score": float(matching.batches)}

        schedule = Schedule(steps=4, batch=3, learning_rate=1e-2, validate_every=2)
        fit(
            objective,
            student,
            cache.batch,
            schedule,
            validate,
            score="score",
            checkpoint=checkpoint,
        )
        return student

    whole = run(False, None)
    with pytest.raises(Interrupted):
        run(True, tmp_path / "run.checkpoint")
    assert equal_weights(run(False, tmp_path / "run.checkpoint"), whole)


@pytest.mark.parametrize(
    "change", [{"steps": 13}, {"batch": 5}, {"learning_rate": 2e-2}, {"precision": "bfloat16"}]
)
def test_a_checkpoint_of_another_schedule_is_refused(change: dict, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    train(evidence_net(), checkpoint=checkpoint)
    with pytest.raises(RecipeError, match=r"run\.checkpoint was trained with .* delete it"):
        train(evidence_net(), replace(QUICK, **change), checkpoint=checkpoint)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    train(evidence_net(), checkpoint=checkpoint)
    with pytest.raises(RecipeError, match="another network"):
        train(plain_net(), checkpoint=checkpoint)


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_checkpoint_is_refused(damage: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    train(evidence_net(), checkpoint=checkpoint)
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    else:
        torch.save({"weights": torch.zeros(3)}, checkpoint)
    with pytest.raises(ModelError, match=r"run\.checkpoint"):
        train(evidence_net(), checkpoint=checkpoint)


def run_with_scores(scores: list[float], patience: int, steps: int = 60):
    """Train with made-up scores; returns history, the net, and its weights at every validation."""
    net, kept = evidence_net(), []

    def validate() -> dict[str, float]:
        kept.append({k: v.clone() for k, v in net.state_dict().items()})
        return {"score": scores[len(kept) - 1]}

    schedule = Schedule(
        steps=steps, batch=2, learning_rate=1e-2, validate_every=2, patience=patience
    )
    return train(net, schedule, validate=validate), net, kept


def test_training_stops_when_patience_is_used_up_and_the_best_weights_come_back() -> None:
    history, net, kept = run_with_scores([1.0, 3.0, 2.0, 2.5, 0.0, 9.0], patience=3)
    assert len(history.rows) == 5
    assert (history.best_step, history.best_score) == (4, 3.0)
    state = net.state_dict()
    assert all(torch.equal(state[key], kept[1][key]) for key in state)
    assert not all(torch.equal(state[key], kept[4][key]) for key in state)


def test_a_better_score_renews_patience() -> None:
    history, _, _ = run_with_scores([1.0, 0.5, 2.0, 0.5, 0.6, 9.0], patience=2)
    assert [row["score"] for row in history.rows] == [1.0, 0.5, 2.0, 0.5, 0.6]


def test_without_patience_nothing_stops_early() -> None:
    history, _, _ = run_with_scores([5.0] + [1.0] * 9, patience=0, steps=20)
    assert len(history.rows) == 10
    assert history.best_step == 2


def test_the_last_step_is_validated_even_off_the_beat() -> None:
    history, _, _ = run_with_scores([1.0, 2.0, 3.0], patience=0, steps=5)
    assert [row["step"] for row in history.rows] == [2, 4, 5]


def test_scores_that_are_never_a_number_are_an_error() -> None:
    nan = float("nan")
    with pytest.raises(ModelError, match="none of 2 validations gave a score"):
        run_with_scores([nan, nan], patience=0, steps=4)
    history, _, _ = run_with_scores([nan, 1.0, nan], patience=0, steps=6)
    assert history.best_step == 4


def test_the_gradient_is_clipped() -> None:
    def first_step(clip: float) -> float:
        net = evidence_net()
        # AdamW's first step does not depend on the gradient's size, its second moment does.
        schedule = Schedule(steps=2, batch=4, learning_rate=1e-2, weight_decay=0.0, clip=clip)
        run = train(net, schedule)
        assert run.best_step == 2
        return float(sum(p.detach().abs().sum() for p in net.parameters()))

    assert first_step(5.0) != first_step(1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps are 0"),
        ({"batch": 0}, "batch is 0"),
        ({"validate_every": -1}, "validate_every is -1"),
        ({"precision": "float16"}, "precision is 'float16', expected float32 or bfloat16"),
    ],
)
def test_schedules_that_cannot_be_are_refused(change: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        replace(QUICK, **change)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What two processes under torchrun ended with."""
    folder = tmp_path_factory.mktemp("ranks")
    sdk = Path(__file__).resolve().parents[2] / "sdk"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *(problems.__file__, str(folder)),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(sdk), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_two_ranks_see_different_crops_and_together_all_of_them(two_ranks: list[dict]) -> None:
    mine, theirs = (found["evidence"]["seen"] for found in two_ranks)
    assert len(mine) == len(theirs) == 6 * 4
    assert not set(mine) & set(theirs)
    assert sorted(mine + theirs) == list(range(6 * 8))


@pytest.mark.parametrize("name", ["evidence", "plain"])
def test_two_ranks_end_with_identical_weights(two_ranks: list[dict], name: str) -> None:
    mine, theirs = (found[name] for found in two_ranks)
    assert mine["best_step"] == theirs["best_step"] > 0
    assert mine["weights"].keys() == theirs["weights"].keys()
    for key, tensor in mine["weights"].items():
        assert torch.equal(tensor, theirs["weights"][key]), key


def test_two_ranks_learn_what_one_process_learns_from_whole_batches(two_ranks: list[dict]) -> None:
    torch.manual_seed(0)
    alone = problems.train_here(plain_net)
    together = two_ranks[0]["plain"]
    start = plain_net().state_dict()
    for key, tensor in alone["weights"].items():
        torch.testing.assert_close(together["weights"][key], tensor, rtol=1e-4, atol=1e-5)
        assert (tensor - start[key]).abs().max() > 1e-3  # and that is not where they began
