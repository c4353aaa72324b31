"""Ensembles: their evidence is the members' mean, and everything else takes them as a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from beatlens.attribution.matching import attribute_evidence
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import NetworkSpec, build, read_spec
from beatlens.nets.ensemble import ensemble, list_blocks
from beatlens.nets.files import load_net, save_net
from beatlens.nets.lookup_tables import LookupTables, mean_tables

from .networks import CLASSES, SMALL, lively

pytestmark = pytest.mark.rounding
COUNT = 3


@pytest.mark.parametrize("kind", SMALL)
@torch.no_grad()
def test_evidence_is_the_members_mean(kind: str) -> None:
    nets = [lively(SMALL[kind], seed=i) for i in range(COUNT)]
    joined = ensemble(nets)
    x = torch.randn(2, 1, joined.geometry.input_length(9))
    mean = torch.stack([net.evidence(x) for net in nets]).mean(0)
    torch.testing.assert_close(joined.evidence(x), mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(joined(x), mean.mean(2), rtol=1e-5, atol=1e-5)
    assert joined.geometry == nets[0].geometry
    # A bias is an output's, so the members' are one.
    shared = (COUNT - 1) * len(CLASSES)
    assert joined.weights == sum(net.weights for net in nets) - shared


@pytest.mark.parametrize("kind", SMALL)
@torch.no_grad()
def test_a_file_brings_it_back_with_its_specification(kind: str, tmp_path: Path) -> None:
    spec = replace(SMALL[kind], members=COUNT)
    joined = ensemble([lively(SMALL[kind], seed=i) for i in range(COUNT)])
    assert read_spec(joined) == spec
    assert NetworkSpec.from_dict(spec.as_dict()) == spec
    save_net(tmp_path / "net.pt", joined, spec)
    again, found = load_net(tmp_path / "net.pt")
    x = torch.randn(1, 1, joined.geometry.input_length(4))
    assert found == spec
    assert torch.equal(again.evidence(x), joined.evidence(x))


def test_class_maps_of_all_members_features_are_the_evidence() -> None:
    joined = ensemble([lively(SMALL["residual"], seed=i) for i in range(COUNT)])
    x = torch.randn(2, 1, joined.geometry.input_length(9))
    seen = attribute_evidence(joined, x)
    head, activations = seen.channel_weights(torch.tensor([1])), seen.activations
    assert activations is not None
    assert activations.shape[1] == COUNT * SMALL["residual"].channels[-1]
    bias = joined.head.bias
    assert bias is not None
    maps = torch.einsum("ck,bkt->bct", head, activations) + bias[1]
    torch.testing.assert_close(maps[:, 0], joined.evidence(x)[:, 1], rtol=1e-4, atol=1e-5)


def test_one_network_stays_itself() -> None:
    net = lively(SMALL["dense"])
    assert ensemble([net]) is net
    assert read_spec(net).members == 1


def test_networks_that_do_not_fit_are_refused() -> None:
    other = NetworkSpec("dense", (4, 6, 8), (8, 8, 10), (2, 2, 2))
    with pytest.raises(ModelError, match="expected the same"):
        ensemble([build(SMALL["dense"], CLASSES), build(other, CLASSES)])
    with pytest.raises(ModelError, match="expected the same"):
        ensemble([build(SMALL["dense"], ("a",)), build(SMALL["dense"], ("b",))])
    with pytest.raises(ModelError, match="expected at least one"):
        ensemble([])
    with pytest.raises(RecipeError, match="members are 0"):
        replace(SMALL["dense"], members=0)


def test_an_ensemble_is_no_network_for_a_device() -> None:
    joined = ensemble([lively(SMALL["dense"], seed=i) for i in range(2)])
    with pytest.raises(ModelError, match="Members"):
        QuantizedEvidenceNet(joined)


@torch.no_grad()
def test_blocks_are_named_over_all_members() -> None:
    joined = ensemble([lively(SMALL["residual"], seed=i) for i in range(2)])
    names = list_blocks(joined)
    assert [len(block) for block in names] == [2, 2, 2]
    modules = dict(joined.named_modules())
    assert all(name in modules for block in names for name in block)
    inside = [type(modules[name]).__name__ for block in names for name in block]
    assert inside == ["ConvUnit"] * 2 + ["ResidualBlock"] * 4


@torch.no_grad()
def test_tables_of_an_ensemble_are_the_mean() -> None:
    tables = [LookupTables(4, 2) for _ in range(3)]
    for number, each in enumerate(tables):
        each.values.copy_(torch.full_like(each.values, float(number)))
    assert torch.equal(mean_tables(tables).values, torch.ones(2, tables[0].values.shape[1], 4))
    assert mean_tables(tables[:1]) is tables[0]
