"""Where columns look, and that maps of networks that look elsewhere are never matched."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from beatlens.attribution.alignment import ColumnProbe, Columns, check_aligned, find_columns
from beatlens.attribution.matching import EWA, SSWA, SWA, Classwise, attribute
from beatlens.compression.retraining import build_own_retraining
from beatlens.errors import ModelError
from beatlens.training.loop import Schedule


def chain(*layers: tuple[int, int, int, int], width: int = 3) -> nn.Sequential:
    """Convolutions (kernel, stride, padding, dilation) with what stands between them."""
    net, channels = nn.Sequential(), 1
    features = nn.Sequential()
    for kernel, stride, padding, dilation in layers:
        features.append(nn.Conv1d(channels, width, kernel, stride, padding, dilation))
        features.append(nn.BatchNorm1d(width))
        features.append(nn.ReLU())
        channels = width
    net.add_module("features", features)
    net.add_module("decide", nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                                           nn.Linear(width, 3)))  # fmt: skip
    return net


def centres(layers: tuple[tuple[int, int, int, int], ...], length: int) -> Columns:
    """By the formula for a chain."""
    start, jump, count = 0.0, 1, length
    for kernel, stride, padding, dilation in layers:
        reach = (kernel - 1) * dilation
        start += (reach / 2 - padding) * jump
        jump *= stride
        count = (count + 2 * padding - reach - 1) // stride + 1
    return Columns(count, start, start + (count - 1) * jump, length)


CHAINS = [
    ((9, 2, 0, 1), (5, 1, 0, 1)),
    ((9, 2, 4, 1), (5, 1, 2, 1)),
    ((16, 2, 7, 1), (7, 2, 3, 1), (7, 2, 3, 1)),
    ((16, 2, 0, 1), (7, 2, 0, 1), (9, 1, 0, 1)),
    ((5, 1, 4, 2), (7, 4, 0, 1)),
    ((3, 1, 1, 1),),
    ((3, 3, 0, 1), (3, 1, 5, 3)),
]


@pytest.mark.parametrize("layers", CHAINS)
@pytest.mark.parametrize("length", [200, 331])
def test_columns_are_where_the_formula_has_them(layers, length: int) -> None:
    net = chain(*layers).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = find_columns(net, "features", torch.randn(4, 1, length))
    assert found == centres(layers, length)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_pooling_and_skip_connections_are_followed() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 1, 7, padding=3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.conv(x)

    net = nn.Sequential(Residual(), nn.MaxPool1d(4), nn.Conv1d(1, 2, 5))
    # Columns of the pooling lie at 1.5, 5.5 ...; the last convolution loses two on each side.
    assert find_columns(net, "2", torch.zeros(1, 1, 100)) == Columns(21, 9.5, 89.5, 100)


def test_what_depends_on_all_of_the_input_is_not_known() -> None:
    layers = ((9, 1, 4, 1),)
    net = chain(*layers)
    net.features.insert(1, nn.GroupNorm(1, 3))
    x = torch.zeros(1, 1, 100)
    assert find_columns(net, "features", x) is None
    assert find_columns(chain((99, 1, 49, 1), (99, 1, 49, 1)), "features", x) is None
    same, other = chain(*layers), chain(*layers)
    same.features.insert(1, nn.GroupNorm(1, 3))
    check_aligned(ColumnProbe(net, "features", x), ColumnProbe(same, "features", x))
    other.features[0] = nn.Conv1d(1, 3, 9)
    other.features.insert(1, nn.GroupNorm(1, 3))
    with pytest.raises(ModelError, match="cannot be known where the student's columns look"):
        check_aligned(ColumnProbe(other, "features", x), ColumnProbe(net, "features", x))


PADDED, UNPADDED = CHAINS[2], CHAINS[3]


@pytest.mark.parametrize("loss", [EWA(), SWA(), SSWA(), Classwise()])
def test_a_padded_teacher_and_an_unpadded_student_are_not_matched(loss: nn.Module) -> None:
    """They were, stretched onto one another, with evidence up to 1.5 s off in a field trial."""
    teacher, student = chain(*PADDED).eval(), chain(*UNPADDED).eval()
    x = torch.randn(2, 1, 1280)
    shown = (
        attribute(student, x, "features", differentiable=True),
        attribute(teacher, x, "features"),
    )
    with pytest.raises(ModelError, match=r"up to 29 samples apart.*at most a column \(8\)") as said:
        loss(*shown)
    assert "student: 306 columns from sample 29.5" in str(said.value).replace("\n", " ")
    assert "teacher: 160 columns from sample" in str(said.value)


def test_crops_of_one_span_are_matched() -> None:
    teacher, student = chain((16, 8, 4, 1)).eval(), chain((24, 8, 0, 1), (3, 1, 0, 1)).eval()
    x = torch.randn(2, 1, 640)
    theirs = attribute(teacher, x, "features")  # 80 columns
    wide = torch.nn.functional.pad(x, (16, 16))
    mine = attribute(student, wide, "features", differentiable=True)
    assert math.isfinite(Classwise()(mine, theirs).item())
    short = attribute(student, x, "features", differentiable=True)  # 76 columns
    with pytest.raises(ModelError, match="samples apart"):
        Classwise()(short, theirs)
    with pytest.raises(ModelError, match="the spans of the two networks differ by"):
        Classwise()(attribute(student, x[..., :600], "features"), theirs)


def test_one_span_at_another_stride_is_stretched() -> None:
    teacher, student = chain((9, 4, 4, 1)).eval(), chain((9, 4, 4, 1), (3, 2, 1, 1)).eval()
    x = torch.randn(2, 1, 640)
    loss = Classwise()(
        attribute(student, x, "features", differentiable=True), attribute(teacher, x, "features")
    )
    assert 0 <= loss.item() <= 2


def test_an_own_retraining_refuses_them_too() -> None:
    def batches(first: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(first)
        return torch.randn(size, 1, 1280, generator=generator), torch.zeros(size, 3)

    teacher, student = chain(*PADDED), chain(*UNPADDED)
    schedule = Schedule(steps=2, batch=2, learning_rate=1e-3, validate_every=1)
    retraining = build_own_retraining(
        teacher, "features", batches, Classwise(), schedule, lambda net: {"score": 0}
    )
    with pytest.raises(ModelError, match="maps cannot be matched"):
        retraining.objective(student)(*batches(0, 2))
    assert retraining.examples is not None
    with pytest.raises(ModelError, match="maps cannot be matched"):
        retraining.examples(student, 0, 4)
    same = chain(*PADDED)
    assert math.isfinite(retraining.objective(same)(*batches(0, 2)).item())
    assert len(retraining.examples(same, 0, 4).inputs) == 4
    # Without maps there is nothing to match.
    plain = build_own_retraining(
        teacher, "features", batches, None, schedule, lambda net: {"score": 0}
    )
    assert math.isfinite(plain.objective(student)(*batches(0, 2)).item())
