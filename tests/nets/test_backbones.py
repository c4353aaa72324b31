"""Backbones: sizes, shapes, what a specification refuses, and the evidence identity."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import STUDENTS, TEACHER, NetworkSpec, build, read_spec
from beatlens.nets.evidence import ConvUnit, EvidenceNet, ResidualBlock
from beatlens.tasks.windows.labels import CONTEXT

from .networks import CLASSES, RELEASED, SMALL, lively

pytestmark = pytest.mark.rounding


def test_the_teacher_has_the_size_the_method_asks_for() -> None:
    net = build(TEACHER, CLASSES)
    assert 400_000 <= net.weights <= 800_000
    assert net.geometry.stride == 8


def test_students_span_two_to_fifty_thousand_weights() -> None:
    sizes = {name: build(spec, CLASSES).weights for name, spec in STUDENTS.items()}
    for kind in ("dense", "depthwise"):
        assert sum(STUDENTS[name].kind == kind for name in sizes) >= 2
    assert min(sizes.values()) <= 2_200
    assert 45_000 <= max(sizes.values()) <= 55_000


@pytest.mark.parametrize("name", STUDENTS)
def test_a_students_name_tells_its_kind_and_size(name: str) -> None:
    spec = STUDENTS[name]
    net = build(spec, CLASSES)
    kind, size = name.split("-")
    assert spec.kind == kind
    assert net.weights == pytest.approx(1000 * int(size.removesuffix("k")), rel=0.08)
    assert net.geometry.stride == 8
    assert 300 <= net.geometry.receptive_field <= 516
    assert max(net.geometry.left, net.geometry.right) <= CONTEXT


def test_weights_counts_what_is_deployed() -> None:
    # conv 1 -> 2 of 3 taps and 2 biases; head 2 -> 4 and 4 biases. Batch norm is folded away.
    net = build(NetworkSpec("dense", (2,), (3,), (1,)), CLASSES)
    assert net.weights == (1 * 2 * 3 + 2) + (2 * 4 + 4)
    # depthwise: 2 channels of 5 taps + 2, pointwise 2 -> 3 + 3.
    net = build(NetworkSpec("depthwise", (2, 3), (3, 5), (1, 1)), ("a",))
    assert net.weights == (2 * 3 + 2) + (2 * 5 + 2) + (2 * 3 + 3) + (3 + 1)


@pytest.mark.parametrize(("name", "spec"), [*SMALL.items(), *RELEASED.items()])
@torch.no_grad()
def test_logits_are_the_mean_of_the_evidence_and_the_pooled_linear_head(name: str, spec) -> None:
    net = lively(spec)
    x = torch.randn(3, 1, net.geometry.input_length(12))
    evidence, features, logits = net.evidence(x), net.features(x), net(x)
    assert evidence.shape == (3, len(CLASSES), 12)
    assert torch.equal(logits, evidence.mean(2))
    pooled = features.mean(2) @ net.head.weight.squeeze(2).T + net.head.bias
    torch.testing.assert_close(logits, pooled, rtol=1e-4, atol=1e-5)


def test_several_leads_are_taken() -> None:
    net = build(SMALL["dense"], CLASSES, leads=2)
    assert net(torch.randn(1, 2, net.geometry.input_length(5))).shape == (1, len(CLASSES))


def test_depthwise_layers_keep_channels_apart() -> None:
    net = build(SMALL["depthwise"], CLASSES)
    units = [unit for unit in net.backbone if isinstance(unit, ConvUnit)]
    groups = [unit.conv.groups for unit in units]
    assert groups == [1, 4, 1, 6, 1]
    assert [unit.conv.kernel_size[0] for unit in units] == [8, 7, 1, 9, 1]


@pytest.mark.parametrize(("channels", "stride"), [(3, 1), (5, 1), (3, 2), (3, 4)])
@torch.no_grad()
def test_the_shortcut_lies_under_the_centre_of_the_block(channels: int, stride: int) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, channels, 5, stride).eval()
    nn.init.zeros_(block.second.conv.weight)  # what is left is the shortcut alone
    field = 5 + 4 * stride
    x = torch.rand(1, 3, field + 3 * stride) + 1.0
    y = block(x)
    assert y.shape == (1, channels, 4)
    for column in range(4):
        centre = column * stride + (field - 1) // 2
        under = x[:, :, centre : centre + 1]
        if block.shortcut is not None:
            under = block.shortcut(under)
        torch.testing.assert_close(y[:, :, column], torch.relu(under)[:, :, 0])


def test_specifications_survive_as_plain_data() -> None:
    for spec in (TEACHER, *STUDENTS.values()):
        assert NetworkSpec.from_dict(spec.as_dict()) == spec
    listed = {**TEACHER.as_dict(), "channels": list(TEACHER.channels)}
    assert NetworkSpec.from_dict(listed) == TEACHER


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("wide", (4,), (3,), (1,)), "'wide', expected residual, dense or depthwise"),
        (("dense", (4, 4), (3,), (1,)), "2 channels, 1 kernels and 1 strides"),
        (("dense", (), (), ()), "0 channels"),
        (("dense", (4, 0), (3, 3), (1, 1)), r"channels are \(4, 0\)"),
        (("dense", (4,), (-3,), (1,)), r"kernels are \(-3,\)"),
        (("dense", (4,), (3,), (0,)), r"strides are \(0,\)"),
    ],
)
def test_a_specification_that_cannot_be_is_refused(settings, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        NetworkSpec(*settings)


PRUNED = NetworkSpec(
    "residual", (4, 6, 6, 6), (8, 5, 5, 5), (2, 2, 1, 1), (4, 3, 8, 2), (False, True, True, False)
)
"""Own widths inside the blocks, and a shortcut's convolution where the shape does not change."""


def test_a_specification_describes_pruned_blocks() -> None:
    net = build(PRUNED, CLASSES)
    blocks = [block for block in net.backbone if isinstance(block, ResidualBlock)]
    assert [block.first.conv.out_channels for block in blocks] == [3, 8, 2]
    assert [block.shortcut is not None for block in blocks] == [True, True, False]
    assert NetworkSpec.from_dict(PRUNED.as_dict()) == PRUNED
    assert net.geometry == build(replace(PRUNED, inner=(), shortcuts=()), CLASSES).geometry
    assert net(torch.randn(1, 1, net.geometry.input_length(5))).shape == (1, len(CLASSES))


def test_plain_specifications_are_written_as_before() -> None:
    for spec in (TEACHER, *STUDENTS.values()):
        assert list(spec.as_dict()) == ["kind", "channels", "kernels", "strides"]


@pytest.mark.parametrize("spec", [TEACHER, *STUDENTS.values(), *SMALL.values(), PRUNED])
def test_a_specification_is_read_off_a_network(spec: NetworkSpec) -> None:
    assert read_spec(build(spec, CLASSES)) == spec
    assert read_spec(build(spec, ("a",), leads=3)) == spec


def padded(net: EvidenceNet) -> None:
    net.backbone[1].conv.padding = (2,)


def linear(net: EvidenceNet) -> None:
    net.backbone[1].relu = False


def another_module(net: EvidenceNet) -> None:
    net.backbone.append(nn.ReLU())


def mixed(net: EvidenceNet) -> None:
    net.backbone.insert(1, ResidualBlock(4, 4, 3))
    net.backbone.append(ConvUnit(8, 8, 3))


def half_grouped(net: EvidenceNet) -> None:
    net.backbone[1].conv.groups = 2


def nothing(net: EvidenceNet) -> None:
    net.backbone = nn.Sequential()


@pytest.mark.parametrize("bend", [padded, linear, another_module, mixed, half_grouped, nothing])
def test_a_foreign_backbone_has_no_specification(bend) -> None:
    net = build(SMALL["dense"], CLASSES)
    bend(net)
    with pytest.raises(ModelError, match="no specification describes a backbone of"):
        read_spec(net)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "dense"}, r"inner are \(4, 3, 8, 2\), expected none, or one per layer of a res"),
        ({"inner": (4, 3)}, "this one is residual with 4 layers"),
        ({"inner": (4, 3, 0, 2)}, "expected all >= 1, the first one 4"),
        ({"inner": (3, 3, 8, 2)}, "expected all >= 1, the first one 4"),
        ({"shortcuts": (False, False, True, False)}, "layer 1 changes the shape"),
    ],
)
def test_pruned_blocks_that_cannot_be_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        replace(PRUNED, **settings)
