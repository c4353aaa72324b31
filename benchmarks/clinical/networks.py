"""The networks of a run as clinical figures look at them: teacher and int8 model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from beatlens.compression.quantize import Quantize, QuantizedEvidenceNet
from beatlens.errors import ModelError
from beatlens.nets.ensemble import list_blocks
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import CACHE_SEED
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.evaluation import choose_rule
from beatlens.tasks.beats.labels import BeatTrack, add_set_entries
from beatlens.tasks.beats.metrics import run_beats, run_integer_beats
from beatlens.tasks.beats.offsets import choose_offsets
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.common.runs import CROP_SPAN, Explaining, integer_windows
from beatlens.tasks.contract import Networks
from benchmarks.attribution.faithfulness import randomised
from benchmarks.clinical.contributions import BeatContributions, split_decisions

CROPS = 32


@dataclass(frozen=True)
class Explained:
    """A network whose decisions and evidence are looked at.

    Args:
        model, form: as in figures files.
        net: its evidence over windows; of an int8 model the fake-quantised form, which gives the
            same numbers as the file.
        contributions: its decisions on recordings, taken apart.
        redrawn: the network with the weights of some layers drawn anew, by a seed.
    """

    model: str
    form: str
    net: Explaining
    contributions: Callable[[Sequence[BeatTrack]], BeatContributions]
    redrawn: Callable[[Sequence[str], int], Explaining]

    @property
    def key(self) -> dict[str, str]:
        """Its columns in figures files."""
        return {"model": self.model, "form": self.form}


def explained_teacher(recipe: BeatRecipe, prepared: PreparedBeats, teacher: Teacher) -> Explained:
    """A run's teacher, with offsets chosen on validation patients."""
    net, classes = teacher.net, recipe.task.classes
    rule_tables = add_set_entries(teacher.table_values, classes)
    offsets = choose_offsets(run_beats(net, rule_tables, prepared.validation), classes)

    def contributions(tracks: Sequence[BeatTrack]) -> BeatContributions:
        run = run_beats(net, rule_tables, tracks)
        decided = [(logits + offsets).argmax(axis=1) for logits in run.logits]
        return split_decisions(run, decided, rule_tables, offsets, net.geometry.stride)

    def redrawn(layers: Sequence[str], seed: int) -> Explaining:
        twin = randomised(net, layers, seed=seed).eval()
        return twin  # type: ignore[return-value]

    return Explained("teacher", "float", net, contributions, redrawn)


def explained_int8(recipe: BeatRecipe, prepared: PreparedBeats, networks: Networks) -> Explained:
    """A run's int8 model, its evidence by LiteRT's reference kernels, decided in whole numbers.

    Drawn anew it is the float student with those layers drawn anew, quantised after training: all
    scales set from training crops without noise. (Drawn in the int8 model itself,
    weights would meet scales that were set for others, and mean nothing.) With no layer drawn anew
    this is not the int8 model either, which was trained further: `redrawn([], seed)` is what to
    hold the others against.

    Raises:
        ModelError: the networks are a bundle's, which has no float student and no teacher.
    """
    model, teacher, student = networks.device, networks.teacher, networks.student
    graph, quantized = model.graph, model.quantized
    if teacher is None or student is None or quantized is None:
        raise ModelError(f"{recipe.name}: expected teacher, student and int8 model of a run folder")
    rule = choose_rule(recipe, prepared, teacher, model)
    step = rule.step
    run_windows = integer_windows(graph)

    def contributions(tracks: Sequence[BeatTrack]) -> BeatContributions:
        run, decided = run_integer_beats(run_windows, graph, quantized.geometry, rule, tracks)
        stride = quantized.geometry.stride
        rule_tables, offsets = (np.float64(step) * part for part in (rule.tables, rule.offsets))
        shares = rule.sharing is not None
        return split_decisions(run, decided, rule_tables, offsets, stride, shares)

    crops = _crops(recipe, prepared, student)

    def redrawn(layers: Sequence[str], seed: int) -> Explaining:
        twin = randomised(student, layers, seed=seed).eval()
        net = QuantizedEvidenceNet(twin).eval()  # type: ignore[arg-type]
        net.calibrate(crops)
        return net

    return Explained(recipe.name, "int8", quantized, contributions, redrawn)


def _crops(recipe: BeatRecipe, prepared: PreparedBeats, net: EvidenceNet) -> list[torch.Tensor]:
    """Training crops without noise, to set an int8 model's scales from."""
    sampler = prepared.sampler(recipe, CACHE_SEED + recipe.seed)
    windows: list[NDArray[np.float32]] = [
        sampler.batch(i * CROPS, CROPS)[0] for i in range(Quantize().batches)
    ]
    return [torch.from_numpy(net.geometry.trim(each, CROP_SPAN)).unsqueeze(1) for each in windows]


def list_depths(net: EvidenceNet | QuantizedEvidenceNet) -> dict[str, list[str]]:
    """Layers to draw anew from the head down: the head, with the last block, all."""
    blocks = list_blocks(net)
    every = [name for block in reversed(blocks) for name in block]
    return {"head": ["head"], "last": ["head", *blocks[-1]], "all": ["head", *every]}
