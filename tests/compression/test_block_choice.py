"""The choice of blocks: by magnitude better than by chance, and the same around one stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from beatlens.compression.block_choice import Share, assign_blocks, shared_channels
from beatlens.nets.backbones import NetworkSpec

from ..nets.networks import lively

pytestmark = pytest.mark.rounding
RESIDUAL = NetworkSpec("residual", (4, 8, 8), (8, 5, 5), (2, 4, 1))


def assignment(share: Share, seed: int, **settings: bool) -> tuple[np.ndarray, np.ndarray]:
    found = assign_blocks([share], np.random.default_rng(seed), **settings)
    rows, columns = (found[key] for key in share.keys)
    return rows, columns


def held(energy: np.ndarray, blocks: tuple[np.ndarray, np.ndarray]) -> float:
    return float(energy[blocks[0][:, None] == blocks[1]].sum())


@pytest.mark.parametrize("seed", range(5))
def test_planted_blocks_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    planted = rng.permutation(32) % 4, rng.permutation(24) % 4
    energy = 0.2 * rng.random((32, 24)) + (planted[0][:, None] == planted[1])
    found = assignment(Share(energy, 4, "out", "in"), seed)
    assert held(energy, found) == pytest.approx(held(energy, planted))
    assert np.bincount(found[0]).tolist() == [8] * 4
    assert np.bincount(found[1]).tolist() == [6] * 4


@pytest.mark.parametrize("seed", range(5))
def test_more_is_held_than_by_chance(seed: int) -> None:
    energy = np.random.default_rng(seed).standard_normal((24, 16)) ** 2
    share = Share(energy, 4, "out", "in")
    kept = [
        held(energy, assignment(share, seed, by_energy=b)) / energy.sum() for b in (False, True)
    ]
    assert kept[0] == pytest.approx(0.25, abs=0.08)
    assert kept[1] > kept[0] + 0.1


def test_layers_that_share_channels_deal_them_once_and_for_the_sum_of_both() -> None:
    rng = np.random.default_rng(0)
    large, small = 10 * rng.random((8, 12)), rng.random((4, 12))
    shares = [Share(small, 2, "a", "both"), Share(large, 2, "b", "both")]
    found = assign_blocks(shares, rng)
    assert set(found) == {("rows", "a", 2), ("rows", "b", 2), ("columns", "both", 2)}
    alone = assignment(shares[1], 0)
    together = found["rows", "b", 2], found["columns", "both", 2]
    # The larger one has its way: .98 to 1 of what it holds alone, over 8 seeds.
    assert held(large, together) >= 0.95 * held(large, alone)
    other = assign_blocks(
        [shares[0], Share(large, 4, "b", "both")], rng
    )  # other numbers share nothing
    assert ("columns", "both", 2) in other
    assert ("columns", "both", 4) in other


def test_layers_around_a_residual_stream_share_its_channels() -> None:
    net = lively(RESIDUAL)
    shared = shared_channels(net, torch.randn(2, 1, net.geometry.input_length(4)))
    stream = shared["backbone.1.second.conv", "rows"]
    assert shared["backbone.1.shortcut.conv", "rows"] == stream
    assert shared["backbone.2.second.conv", "rows"] == stream
    assert shared["backbone.2.first.conv", "columns"] == stream
    assert shared["backbone.1.first.conv", "rows"] != stream
    assert (
        shared["backbone.1.first.conv", "columns"] == shared["backbone.1.shortcut.conv", "columns"]
    )
    assert shared_channels(nn.Sequential(nn.Linear(2, 2)), torch.randn(1, 2)) == {}
