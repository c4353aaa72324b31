"""`python -m benchmarks maps`: other maps than the matched one, and how faithful they are.

On the networks of the attribution benchmark: agreement of integrated gradients and of guided
Grad-CAM (which no loss looked at) between student and teacher; whether deleting and inserting what
the evidence points at changes the decision more than a control order does; and whether the map
falls apart when weights are randomised (Adebayo et al., NeurIPS 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beatlens.attribution.fidelity import fidelity
from beatlens.attribution.gradients import guided_grad_cam, integrated_gradients, segment_map
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.windows.labels import SPAN, WindowSet
from beatlens.tasks.windows.metrics import Run
from benchmarks.attribution.faithfulness import Control, deletion, insertion, weight_randomisation

STEPS = 16
CLASS = "pvc"


class MapsBench:
    """Measures maps of the networks in an attribution benchmark's folder.

    Args:
        folder: run folder of `python -m benchmarks attribution`.
        classes: of its networks.
        strips: test strips.
        count: strips, evenly taken from those where `CLASS` is and the teacher predicts it.
    """

    def __init__(
        self, folder: Path, classes: Sequence[str], strips: WindowSet, count: int = 60
    ) -> None:
        self._folder, self._strips, self._count = folder, strips, count
        if CLASS not in classes:
            raise RecipeError(f"the recipe has no class {CLASS}, whose maps are compared")
        self._target = classes.index(CLASS)

    def rows(self, seeds: Sequence[int], arms: Sequence[str]) -> list[dict[str, Any]]:
        """Rows `model, matching, seed, ...`, one per network."""
        return [row for seed in seeds for row in self._seed(seed, arms)]

    def _seed(self, seed: int, arms: Sequence[str]) -> list[dict[str, Any]]:
        base = self._folder / f"seed-{seed}"
        if not (base / "float-test.npz").exists():
            raise ModelError(
                f"{base} has no trained networks: run `python -m benchmarks attribution`"
            )
        chosen = self._choose(Run.load(base / "float-test.npz"))
        teacher = load_net(base / "teacher.pt")[0]
        reference = self._maps(teacher, chosen)
        row = {"model": "teacher", "matching": "-", "seed": seed, "strips": len(chosen)}
        rows = [{**row, **self._faithful(teacher, chosen), **self._randomised(teacher, chosen)}]
        for arm in arms:
            student = load_net(base / arm / "student.pt")[0]
            maps = self._maps(student, chosen)
            agreed = {
                f"{name}_spearman": _spearman(reference[name], maps[name]) for name in reference
            }
            about = {"model": "student", "matching": arm, "seed": seed, "strips": len(chosen)}
            rows.append({**about, **agreed, **self._faithful(student, chosen)})
        return rows

    def _choose(self, run: Run) -> np.ndarray:
        c = self._target
        found = np.flatnonzero((run.logits[:, c] >= 0) & (self._strips.labels[:, c] == 1))
        if len(found) < 2:
            raise ModelError(f"the teacher finds {CLASS} in {len(found)} test strips, expected 2")
        spread = np.linspace(0, len(found) - 1, min(self._count, len(found))).round().astype(int)
        return np.asarray(found[spread])

    def _inputs(self, net: EvidenceNet, chosen: np.ndarray) -> Tensor:
        windows = net.geometry.trim(self._strips.windows[chosen], SPAN)
        return torch.from_numpy(to_millivolts(windows)).unsqueeze(1)

    def _maps(self, net: EvidenceNet, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Maps `[S, T]` of the class by three methods, over the same columns."""
        x, g = self._inputs(net, chosen), net.geometry
        columns = SPAN // g.stride
        with torch.no_grad():
            evidence = net.evidence(x)[:, self._target]
        gradients = integrated_gradients(net, x, self._target, steps=STEPS)
        guided = guided_grad_cam(net, "backbone", x, self._target, stride=g.stride, left=g.left)
        pooled = {
            "evidence": evidence,
            "integrated_gradients": segment_map(gradients, g.stride, left=g.left, columns=columns),
            "guided_grad_cam": segment_map(guided, g.stride, left=g.left, columns=columns),
        }
        return {name: maps.numpy() for name, maps in pooled.items()}

    def _faithful(self, net: EvidenceNet, chosen: np.ndarray) -> dict[str, float]:
        """Area between the map's and the control's curves; positive is faithful."""
        x, g = self._inputs(net, chosen), net.geometry
        with torch.no_grad():
            maps = net.evidence(x)[:, self._target]
        areas = {}
        controls: tuple[Control, ...] = ("random", "shifted")
        for control in controls:
            for name, curve in (("deletion", deletion), ("insertion", insertion)):
                found = curve(
                    net, x, maps, self._target, stride=g.stride, left=g.left, steps=10,
                    control=control, repeats=2,
                )  # fmt: skip
                areas[f"{name}_{control}"] = float(found.area_between.mean())
        return areas

    def _randomised(self, net: EvidenceNet, chosen: np.ndarray) -> dict[str, float]:
        """Agreement of the map with itself after weights were drawn anew, mean magnitude."""
        last = f"backbone.{len(net.backbone) - 1}"
        x = self._inputs(net, chosen)

        def compute_maps(model: torch.nn.Module) -> np.ndarray:
            with torch.no_grad():
                evidence: Tensor = model.evidence(x)  # type: ignore[operator]
            return evidence[:, [self._target]].numpy()

        predicted = np.ones((len(chosen), 1), bool)
        found: dict[str, list[float]] = {}
        for seed in range(5):
            scores = weight_randomisation(net, ["head", last], compute_maps, predicted, seed=seed)
            for name, one in scores.items():
                found.setdefault(name, []).append(abs(one.summary()["spearman"]))
        means = [float(np.mean(values)) for values in found.values()]
        return {"randomised_head": means[0], "randomised_head_and_last": means[1]}


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    every = np.ones((len(a), 1), bool)
    return float(fidelity(a[:, None], b[:, None], every).summary()["spearman"])
