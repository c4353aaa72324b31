"""Small networks with random weights, calibrated and exported, as bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.engines import Engine, StreamEngine
from beatlens.runtime.host_build import has_compiler
from beatlens.signals.frontend import LSB_MV, FrontEnd

from .cases import GAIN, RATE, TITLES, ecg_counts, window_rule

SPAN = 1280
SPECS = {
    "dense": NetworkSpec("dense", (4, 6, 8, 8), (16, 7, 7, 9), (2, 2, 2, 1)),
    "residual": NetworkSpec("residual", (4, 6, 8), (16, 7, 7), (2, 2, 2)),
}


def export(kind: str) -> tuple[bytes, np.ndarray]:
    """A `.tflite` file with random weights, and inputs of its length."""
    torch.manual_seed(1)
    net = build(SPECS[kind], tuple(TITLES)).eval()
    for weights in net.parameters():
        if weights.ndim == 3:
            torch.nn.init.normal_(weights, 0.0, (2 / weights[0].numel()) ** 0.5)
    length = net.geometry.input_length(SPAN // net.geometry.stride)
    x = FrontEnd(RATE, GAIN).run(ecg_counts(60, seed=3)).x
    windows = np.stack([x[i : i + length] for i in range(0, len(x) - length, 900)])
    quantized = QuantizedEvidenceNet(net).eval()
    quantized.calibrate([torch.from_numpy(windows * np.float32(LSB_MV))[:, None]])
    return write_tflite(build_graph(quantized, SPAN)), windows


def make_bundle(kind: str, folder: Path) -> Bundle:
    tflite, windows = export(kind)
    noise = np.random.default_rng(0).integers(-127, 128, windows.shape[1]).astype(np.int8)
    return Bundle.create(
        folder,
        name=f"tiny-{kind}",
        tflite=tflite,
        classes=TITLES,
        golden_inputs=np.stack([windows[0], windows[1], noise]),
        kind="windows",
        rule=window_rule(tflite, {"pvc": 0.5, "sve": 0.3, "afib": 0.6, "bbb": 0.5}),
        measured={"macro_ap": {"value": 0.5, "data": "none: the weights are random"}},
    )


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the dense bundle; copy it before changing it."""
    folder = tmp_path_factory.mktemp("bundles") / "dense"
    make_bundle("dense", folder)
    return folder


@pytest.fixture(scope="session")
def bundle(bundle_dir: Path) -> Bundle:
    return Bundle.load(bundle_dir)


@pytest.fixture(scope="session")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose network has SLICE, and so one input length only."""
    return make_bundle("residual", tmp_path_factory.mktemp("bundles") / "residual")


@pytest.fixture(scope="session")
def interpreter(bundle: Bundle) -> Engine:
    return bundle.engine()


@pytest.fixture(scope="session", params=["interpreter", "c"])
def engine(request: pytest.FixtureRequest, interpreter: Engine) -> Engine | StreamEngine:
    """What computes a stream of the dense bundle: Python around an interpreter, or C."""
    if request.param != "c":
        return interpreter
    if not has_compiler():
        pytest.skip("NO C COMPILER (cc, gcc, clang): streams were not tested with engine 'c'")
    return "c"
