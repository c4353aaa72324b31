"""From a quantised network to the integer graph: the very same numbers, in LiteRT too."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.size import weight_steps
from beatlens.errors import ModelError
from beatlens.integer.graph import Add, Conv, Crop, DepthwiseConv, Mean
from beatlens.integer.litert import run_litert
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.backbones import STUDENTS, NetworkSpec, build
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.windows.labels import SPAN, WindowSet, cut_windows
from beatlens.tasks.windows.objective import WindowObjective
from beatlens.tasks.windows.sampling import WindowSampler
from beatlens.training.crops import make_batches
from beatlens.training.loop import Schedule, fit
from beatlens.training.losses import seed_everything

from ..integer.graphs import adversarial_inputs
from ..nets.networks import CLASSES, SMALL, lively
from ..tasks.tracks import ecg

pytestmark = pytest.mark.rounding
RESIDUAL = NetworkSpec("residual", (8, 12, 16, 16), (16, 7, 7, 9), (2, 2, 2, 1))


@pytest.fixture(scope="module")
def strips() -> tuple[WindowSet, bool]:
    """Strips of ECG, and whether they are of real people."""
    tracks, real = ecg()
    return cut_windows(tracks), real


def trained(spec: NetworkSpec, strips: WindowSet, steps: int = 30) -> QuantizedEvidenceNet:
    """A student after a short training, quantised and trained a little further."""
    seed_everything(1)
    net = build(spec, CLASSES)
    sampler = WindowSampler(
        ecg()[0], CLASSES, 0, {"pvc": 0.4, "sve": 0.2}, augmentation=Augmentation()
    )
    steps_of = Schedule(steps=steps, batch=8, learning_rate=5e-3, validate_every=steps)
    fit(WindowObjective(net), net, make_batches(sampler), steps_of, lambda: {"s": 0.0}, score="s")
    quantized = QuantizedEvidenceNet(net)
    rows = np.linspace(0, len(strips) - 1, 60).astype(int)
    windows = torch.from_numpy(to_millivolts(strips.windows[rows]))
    quantized.calibrate([net.geometry.trim(windows, SPAN).unsqueeze(1)])
    few = Schedule(steps=5, batch=8, learning_rate=1e-3, validate_every=5)
    batches = make_batches(sampler)
    fit(WindowObjective(quantized), quantized, batches, few, lambda: {"s": 0.0}, score="s")
    return quantized


@pytest.fixture(scope="module")
def student(strips: tuple[WindowSet, bool]) -> QuantizedEvidenceNet:
    return trained(STUDENTS["dense-12k"], strips[0])


def windows_of(net: QuantizedEvidenceNet, strips: WindowSet, count: int) -> np.ndarray:
    """int8 `[count, N, 1]`, spread over the recordings."""
    rows = np.linspace(0, len(strips) - 1, count).astype(int)
    return np.ascontiguousarray(net.geometry.trim(strips.windows[rows], SPAN))[:, :, None]


def adversarial(length: int, count: int, seed: int = 0) -> np.ndarray:
    """Extremes, steps, square waves of many periods, spikes, ramps and noise, int8 `[B, N, 1]`."""
    rng = np.random.default_rng(seed)
    t = np.arange(length)
    rows = []
    for index in range(count):
        kind = index % 6
        if kind == 0:
            row = np.where(t // (1 + index // 6) % 2, 127, -128)
        elif kind == 1:
            row = np.where(t < rng.integers(length), -128, 127) * rng.choice([-1, 1])
        elif kind == 2:
            row = np.where(rng.random(length) < 0.02, rng.choice([-128, 127]), 0)
        elif kind == 3:
            row = rng.integers(-128, 128, length)
        elif kind == 4:
            row = np.linspace(rng.integers(-128, 128), rng.integers(-128, 128), length)
        else:
            row = np.round(rng.normal(0, rng.uniform(1, 90), length))
        rows.append(np.clip(row, -128, 127))
    return np.stack(rows).astype(np.int8)[:, :, None]


@pytest.mark.export
def test_litert_and_the_simulator_agree_on_every_bit_of_700_inputs(
    student: QuantizedEvidenceNet, strips: tuple[WindowSet, bool]
) -> None:
    graph = build_graph(student, SPAN)
    ecg_windows = windows_of(student, strips[0], 540 if strips[1] else 30)
    if not strips[1]:
        warnings.warn("no real ECG here: int8 equality was tested on simulated ECG", stacklevel=1)
    length = graph.tensors["input"].length
    x = np.concatenate([ecg_windows, adversarial_inputs(graph), adversarial(length, 160)])
    golden, found = simulate(graph, x), run_litert(write_tflite(graph), x, "reference")
    for role in ("evidence", "logits"):
        np.testing.assert_array_equal(found[role], golden[role])
    assert np.unique(golden["evidence"]).size > 100  # alive, and not all of it saturated
    if strips[1]:
        assert len(x) >= 700


def test_the_real_part_of_int8_equality_ran(strips: tuple[WindowSet, bool]) -> None:
    if not strips[1]:
        pytest.skip(
            "no real ECG: mitdb is not beside this checkout; simulated ECG was used instead"
        )
    assert len(strips[0]) >= 500


@pytest.mark.export
@pytest.mark.parametrize(
    "spec", [STUDENTS["depthwise-2k"], RESIDUAL], ids=["depthwise", "residual"]
)
def test_other_kinds_agree_with_litert_too(
    spec: NetworkSpec, strips: tuple[WindowSet, bool]
) -> None:
    net = trained(spec, strips[0], steps=8)
    graph = build_graph(net, SPAN)
    length = graph.tensors["input"].length
    x = np.concatenate([windows_of(net, strips[0], 40), adversarial(length, 40, seed=3)])
    golden, found = simulate(graph, x), run_litert(write_tflite(graph), x, "reference")
    for role in ("evidence", "logits"):
        np.testing.assert_array_equal(found[role], golden[role])
    with torch.no_grad():
        fake = net.evidence(torch.from_numpy(to_millivolts(x[:, :, 0])).unsqueeze(1)).numpy()
    steps = np.round(fake / graph.tensors["evidence"].quantization.scale).transpose(0, 2, 1)
    assert np.abs(steps - golden["evidence"]).max() <= 1
    assert (steps == golden["evidence"]).mean() > 0.999


def test_the_trained_students_map_in_torch_is_the_simulators(
    student: QuantizedEvidenceNet, strips: tuple[WindowSet, bool]
) -> None:
    graph = build_graph(student, SPAN)
    x = windows_of(student, strips[0], 60)
    golden = simulate(graph, x)
    with torch.no_grad():
        millivolts = torch.from_numpy(to_millivolts(x[:, :, 0])).unsqueeze(1)
        evidence, logits = student.evidence(millivolts).numpy(), student(millivolts).numpy()
    steps = np.round(evidence / graph.tensors["evidence"].quantization.scale)
    assert (steps.transpose(0, 2, 1) == golden["evidence"]).mean() > 0.999
    scale = graph.tensors["logits"].quantization.scale
    inside = np.abs(logits / scale) < 126
    assert np.abs(golden["logits"] - logits / scale)[inside].max() <= 1.01
    # Logits that the last training steps moved out of the calibrated range are at its ends.
    assert inside.mean() > 0.5
    assert (np.abs(golden["logits"][~inside].astype(int)) >= 126).all()


@pytest.mark.parametrize("kind", SMALL)
def test_the_graph_mirrors_the_network(kind: str) -> None:
    net = QuantizedEvidenceNet(lively(SMALL[kind]))
    net.calibrate([torch.randn(4, 1, 300)])
    graph = build_graph(net, span=8 * 20)
    assert graph.tensors["input"].length == net.geometry.input_length(20)
    assert graph.tensors["input"].quantization.scale == float(np.float32(LSB_MV))
    assert graph.tensors["input"].quantization.zero_point == 0
    assert graph.tensors["evidence"].length == 20
    assert graph.tensors["evidence"].channels == len(CLASSES)
    kinds = [type(op) for op in graph.ops]
    block = [Conv, Conv, Crop]
    assert (
        kinds
        == {
            "dense": [Conv] * 3 + [Conv, Mean],
            "depthwise": [Conv, DepthwiseConv, Conv, DepthwiseConv, Conv, Conv, Mean],
            "residual": [Conv, *block, Conv, Add, *block, Add, Conv, Mean],
        }[kind]
    )
    weights = sum(op.weights.size + op.bias.size for op in graph.ops if hasattr(op, "weights"))
    assert weights == lively(SMALL[kind]).weights
    for op in graph.ops:
        if getattr(op, "relu", False):
            assert graph.tensors[op.output].quantization.zero_point == -128


def test_weights_and_biases_are_the_networks_in_units_of_their_scales() -> None:
    net = QuantizedEvidenceNet(lively(SMALL["dense"]))
    net.calibrate([torch.randn(4, 1, 300)])
    graph = build_graph(net, span=80)
    layer, op = net.backbone[1], graph.ops[1]
    scales = weight_steps(layer.float_weight)
    np.testing.assert_array_equal(op.weight_scales, scales.numpy())
    real = op.weights.transpose(0, 2, 1) * op.weight_scales[:, None, None]
    np.testing.assert_allclose(real, layer.weight.detach().numpy(), rtol=1e-5, atol=1e-9)
    assert np.abs(op.weights.astype(int)).max() == 127
    unit = graph.tensors["conv0"].quantization.scale * op.weight_scales.astype(float)
    np.testing.assert_allclose(op.bias * unit, layer.bias.detach().numpy(), atol=unit.max() * 0.51)


def test_channels_that_were_pruned_away_have_a_scale_that_devices_hold() -> None:
    """All of a channel's weights at 0, as magnitude pruning leaves them, and next to 0."""
    torch.manual_seed(0)
    trained = lively(SMALL["dense"])
    convolution = trained.backbone[1].conv
    with torch.no_grad():
        convolution.weight[0] = 0
        convolution.weight[1] *= 1e-9
    net = QuantizedEvidenceNet(trained)
    net.calibrate([torch.randn(4, 1, 300)])
    op = build_graph(net, span=80).ops[1]
    assert not op.weights[0].any()
    assert op.weight_scales[0] == op.weight_scales.max()
    np.testing.assert_allclose(op.weight_scales[1], op.weight_scales.max() * 2.0**-16, rtol=1e-5)


def test_evidence_does_not_depend_on_the_span() -> None:
    net = QuantizedEvidenceNet(lively(SMALL["residual"]))
    net.calibrate([torch.randn(4, 1, 300)])
    long, short = build_graph(net, 8 * 30), build_graph(net, 8 * 10)
    x = adversarial(long.tensors["input"].length, 12)
    whole = simulate(long, x)["evidence"]
    for first in (0, 7, 20):
        piece = x[:, first * 8 : first * 8 + short.tensors["input"].length]
        found = simulate(short, np.ascontiguousarray(piece))["evidence"]
        np.testing.assert_array_equal(found, whole[:, first : first + 10])


@pytest.mark.parametrize("span", [0, -8, 7, 1284])
def test_spans_that_are_no_whole_number_of_columns_are_refused(span: int) -> None:
    net = QuantizedEvidenceNet(lively(SMALL["dense"]))
    net.calibrate([torch.randn(4, 1, 300)])
    with pytest.raises(ModelError, match=f"span is {span} samples"):
        build_graph(net, span)


def test_a_bias_that_no_accumulator_holds_is_refused() -> None:
    net = QuantizedEvidenceNet(lively(SMALL["dense"]))
    net.calibrate([torch.randn(4, 1, 300)])
    with torch.no_grad():
        net.backbone[0].bias[0] = 1e9
    with pytest.raises(ModelError, match="accumulator of channel 0"):
        build_graph(net, 80)
