"""Constraints: held through training, kept in files, refused where they do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.constraint import (
    KINDS,
    Constraint,
    Mask,
    constraint_on,
    describe_constraints,
    find_constraints,
    impose,
    impose_described,
    release,
    trained_tensor,
)

from .networks import SMALL, lively


def masked() -> tuple[nn.Conv1d, Tensor]:
    torch.manual_seed(0)
    conv = nn.Conv1d(3, 4, 5, bias=False)
    mask = (torch.rand(4, 3, 5) > 0.5).float()
    impose(conv, Mask(mask))
    return conv, mask


def test_a_mask_holds_through_training_and_lets_no_gradient_through() -> None:
    conv, mask = masked()
    optimizer = torch.optim.AdamW(conv.parameters(), 0.1, weight_decay=0.1)
    before = conv.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        conv(torch.randn(2, 3, 20)).square().sum().backward()
        optimizer.step()
    assert torch.equal(conv.weight == 0, mask == 0)
    assert not torch.equal(conv.weight, before)
    gradient = trained_tensor(conv).grad
    assert gradient is not None
    assert torch.equal(gradient != 0, mask != 0)


def test_release_leaves_the_weights_as_they_were_made() -> None:
    conv, mask = masked()
    weight = conv.weight.detach().clone()
    release(conv)
    assert constraint_on(conv) is None
    assert torch.equal(conv.weight, weight)
    assert isinstance(conv.weight, nn.Parameter)
    release(conv)  # nothing to do
    assert torch.equal(conv.weight == 0, mask == 0)


def test_imposing_again_replaces_and_makes_the_old_one_permanent() -> None:
    conv, mask = masked()
    other = torch.zeros_like(mask)
    other[:2] = 1
    impose(conv, Mask(other))
    assert torch.equal(conv.weight != 0, (mask * other) != 0)


def test_described_constraints_are_imposed_again() -> None:
    net = lively(SMALL["dense"])
    mask = torch.zeros_like(net.backbone[1].conv.weight)
    mask[:, :, ::2] = 1
    impose(net.backbone[1].conv, Mask(mask))
    described = describe_constraints(net)
    assert list(described) == ["backbone.1.conv:weight"]
    assert list(find_constraints(net)) == list(described)
    other = lively(SMALL["dense"])
    impose_described(other, described)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.backbone[1].conv.weight, net.backbone[1].conv.weight)


@pytest.mark.parametrize(
    ("where", "entry", "message"),
    [
        ("backbone.1.conv:weight", {"kind": "wish", "state": {}}, "'wish', expected one of"),
        ("backbone.9.conv:weight", {"kind": "mask", "state": {"mask": torch.ones(1)}}, "not fit"),
        ("backbone.1.conv:weight", {"kind": "mask", "state": {}}, "does not fit"),
        ("backbone.1.conv:weight", {"kind": "mask", "state": {"mask": torch.ones(7)}}, "not fit"),
    ],
)
def test_what_does_not_fit_is_refused(where: str, entry: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        impose_described(lively(SMALL["dense"]), {where: entry})


def test_every_kind_is_found_by_its_name() -> None:
    import beatlens.compression.methods  # noqa: F401 (defines the others)

    assert {"mask", "unified", "kernel-codebook", "low-bit", "permuted-blocks"} <= set(KINDS)
    assert all(issubclass(kind, Constraint) for kind in KINDS.values())
