"""`python -m benchmarks step-cost`: what matching adds to the time of a training step.

A plain KD step, teacher included, against the same step with each matching loss, the first-order
short cut beside the general double-backward path. Steps of all kinds take turns in one run, so that
a noisy machine slows all of them alike; the figures are ratios of medians to the KD step.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from beatlens.attribution.matching import (
    EWA,
    SSWA,
    SWA,
    Classwise,
    Matching,
    attribute,
    attribute_evidence,
)
from beatlens.compression.distill import kd_loss
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.evidence import EvidenceNet
from beatlens.tasks.windows.labels import SPAN

LAYER = "backbone"
CLASSES = ("pvc", "sve", "afib", "bbb")
"""As many classes as the released models of windows have; the step's time depends on it."""


def step_cost(
    teacher: NetworkSpec, student: NetworkSpec, batch: int, rounds: int
) -> list[dict[str, Any]]:
    """Time the kinds of step on random input; rows with `matching, path, teacher, ms, ratio`.

    `teacher` is `online` where its forward pass is part of the step, `cached` where its evidence
    comes from a `TeacherCache` (then the step is the student's alone, and matching weighs more).
    """
    torch.manual_seed(0)
    master, pupil = build(teacher, CLASSES).eval(), build(student, CLASSES).train()
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=1e-4)
    windows = torch.randn(batch, 1, SPAN + 2 * 256)
    rows: list[dict[str, Any]] = []
    for mode in ("online", "cached"):
        steps = {
            ("none", "-"): _step(master, pupil, windows, None, mode, general=False),
            **{
                (name, path): _step(
                    master, pupil, windows, loss, mode, general=path != "first order"
                )
                for name, loss in _losses()
                for path in ("first order", "double backward")
            },
        }
        times = _take_turns(steps, optimizer, rounds)
        plain = statistics.median(times["none", "-"])
        for (name, path), taken in times.items():
            middle = statistics.median(taken)
            ratio = statistics.median(t / k for t, k in zip(taken, times["none", "-"], strict=True))
            rows.append({
                "matching": name, "path": path, "teacher": mode, "ms": 1e3 * middle,
                "kd_ms": 1e3 * plain, "ratio": ratio, "batch": batch,
            })  # fmt: skip
    return rows


def _losses() -> Sequence[tuple[str, Matching]]:
    return (("ewa", EWA()), ("swa", SWA()), ("sswa", SSWA()), ("classwise", Classwise()))


def _step(
    teacher: EvidenceNet,
    student: EvidenceNet,
    windows: Tensor,
    matching: Matching | None,
    mode: str,
    *,
    general: bool,
) -> Callable[[], Tensor]:
    """A closure that computes the loss of one step."""
    teacher_input, student_input = (net.geometry.trim(windows, SPAN) for net in (teacher, student))

    def teach() -> Any:
        if general and matching is not None:
            return attribute(teacher, teacher_input, LAYER)
        with torch.no_grad():
            return attribute_evidence(teacher, teacher_input)

    cached = teach() if mode == "cached" else None

    def loss() -> Tensor:
        seen = cached if cached is not None else teach()
        if general and matching is not None:
            shown = attribute(student, student_input, LAYER, differentiable=True)
        else:
            shown = attribute_evidence(student, student_input)
        total = kd_loss(shown.logits, seen.logits)
        return total if matching is None else total + matching(shown, seen)

    return loss


def _take_turns(
    steps: dict[tuple[str, str], Callable[[], Tensor]],
    optimizer: torch.optim.Optimizer,
    rounds: int,
) -> dict[tuple[str, str], list[float]]:
    times: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for turn in range(rounds + 1):
        for key, loss in steps.items():
            start = time.perf_counter()
            optimizer.zero_grad()
            torch.autograd.backward(loss())
            optimizer.step()
            if turn:  # the first round warms up
                times[key].append(time.perf_counter() - start)
    return times
