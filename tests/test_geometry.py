"""Geometry: derived from the layers, and what the networks really do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from beatlens.errors import ModelError
from beatlens.geometry import Geometry
from beatlens.nets.evidence import EvidenceNet
from beatlens.tasks.windows.labels import CONTEXT, SPAN

from .nets.networks import RELEASED, SMALL, lively

layers = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=5)


def samples_seen(chain: list[tuple[int, int]], column: int) -> set[int]:
    """Which samples a column depends on, by walking back through the layers one index at a time."""
    seen = {column}
    for kernel, stride in reversed(chain):
        seen = {index * stride + tap for index in seen for tap in range(kernel)}
    return seen


@given(layers)
def test_derived_geometry_is_what_walking_back_through_the_layers_finds(
    chain: list[tuple[int, int]],
) -> None:
    first, second = samples_seen(chain, 0), samples_seen(chain, 1)
    stride = min(second) - min(first)
    field = max(first) + 1
    if field < stride:
        with pytest.raises(ModelError, match="skip samples"):
            Geometry.of(chain)
        return
    geometry = Geometry.of(chain)
    assert geometry == Geometry(stride, field)
    assert geometry.input_length(1) == field
    assert geometry.input_length(4) == max(samples_seen(chain, 3)) + 1
    assert geometry.left + stride + geometry.right == field
    assert 0 <= geometry.right - geometry.left <= 1


def test_geometry_refuses_strides_that_skip_samples() -> None:
    with pytest.raises(ModelError, match="stride 8 and receptive field 5"):
        Geometry(8, 5)
    with pytest.raises(ModelError, match="stride 0"):
        Geometry(0, 5)


def test_trim_keeps_the_same_span_for_every_receptive_field() -> None:
    # Each sample carries its own position, so what is left can be read off.
    windows = np.arange(CONTEXT + SPAN + CONTEXT)[None].repeat(2, 0)
    for geometry in (Geometry(8, 314), Geometry(8, 508), Geometry(16, 33), Geometry(4, 4)):
        trimmed = geometry.trim(windows, SPAN)
        columns = SPAN // geometry.stride
        assert trimmed.shape == (2, geometry.input_length(columns))
        assert trimmed[0, geometry.left] == CONTEXT
        assert trimmed[0, -geometry.right - 1 if geometry.right else -1] == CONTEXT + SPAN - 1
    assert Geometry(8, 508).trim(torch.from_numpy(windows), SPAN).shape == (2, 508 + 159 * 8)


@pytest.mark.parametrize(
    ("geometry", "span"),
    [
        (Geometry(8, 521), SPAN),  # one sample more than two contexts and a column
        (Geometry(8, 314), SPAN + 4),  # no whole number of columns
    ],
)
def test_trim_refuses_what_does_not_fit(geometry: Geometry, span: int) -> None:
    with pytest.raises(ModelError, match="do not fit windows"):
        geometry.trim(np.zeros((1, CONTEXT + span + CONTEXT)), span)


def test_trim_takes_the_widest_field_that_fits() -> None:
    assert Geometry(8, 520).trim(np.zeros((1, CONTEXT + SPAN + CONTEXT)), SPAN).shape[1] == 1792


def linear_regime(net: EvidenceNet) -> EvidenceNet:
    """Lift every ReLU well above zero, in float64: no influence is hidden by a closed ReLU."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.constant_(module.bias, 50.0)
    return net.double()


@pytest.mark.parametrize(
    ("name", "spec"), [*RELEASED.items(), *((f"small {n}", s) for n, s in SMALL.items())]
)
@torch.no_grad()
def test_perturbing_single_samples_finds_the_derived_receptive_field(name: str, spec) -> None:
    net = linear_regime(lively(spec))
    stride, field = net.geometry.stride, net.geometry.receptive_field
    length = net.geometry.input_length(3)
    x = torch.randn(1, 1, length, dtype=torch.float64)
    around = [*range(stride + 3), *range(field - 2, length)]
    probes = sorted({*around, *range(0, length, 1 if name != "teacher" else 37)})
    moved = x.repeat(len(probes), 1, 1)
    moved[range(len(probes)), 0, probes] += 10.0
    change = (net.evidence(moved) - net.evidence(x)).abs().amax(dim=1)
    # Rounding leaves some 1e-13; the weakest path through the teacher's 11 layers some 1e-8.
    seen = change > 1e-11
    for column in range(3):
        first = stride * column
        expected = [first <= probe < first + field for probe in probes]
        assert seen[:, column].tolist() == expected, (name, column)


@pytest.mark.parametrize(("name", "spec"), RELEASED.items())
@pytest.mark.parametrize("hop_columns", [16, 37])
@torch.no_grad()
def test_streaming_equals_windowed_column_for_column(name: str, spec, hop_columns: int) -> None:
    net = lively(spec, seed=1)
    geometry = net.geometry
    window_columns, windows = 40, 4
    total = window_columns + (windows - 1) * hop_columns
    signal = torch.randn(1, 1, geometry.input_length(total)).cumsum(2) * 0.1
    whole = net.evidence(signal)
    assert whole.shape[2] == total
    rounding = 2e-5 * float(whole.abs().max())
    for window in range(windows):
        first = window * hop_columns
        start = first * geometry.stride
        piece = signal[:, :, start : start + geometry.input_length(window_columns)]
        found = net.evidence(piece)
        assert found.shape[2] == window_columns
        difference = (found - whole[:, :, first : first + window_columns]).abs().max()
        assert difference <= rounding, name
        # The neighbouring columns are not that close: the test can tell columns apart.
        assert (found[..., 1:] - found[..., :-1]).abs().amax(1).median() > 10 * rounding


@torch.no_grad()
def test_a_window_off_the_column_grid_differs() -> None:
    net = lively(SMALL["dense"])
    signal = torch.randn(1, 1, net.geometry.input_length(20))
    whole, off = net.evidence(signal), net.evidence(signal[:, :, 3:])
    assert (whole[..., : off.shape[2]] - off).abs().max() > 1e-3
