"""The dequantized form of an int8 network: the float one where nothing was trained since."""

from __future__ import annotations

import pytest
import torch

from beatlens.compression.dequantized import dequantized
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.nets.backbones import NetworkSpec, build

pytestmark = pytest.mark.rounding
SPECS = {
    "dense": NetworkSpec("dense", (6, 8), (8, 8), (4, 2)),
    "depthwise": NetworkSpec("depthwise", (6, 8), (8, 9), (4, 2)),
    "residual": NetworkSpec("residual", (6, 8, 8), (8, 5, 5), (2, 2, 1)),
}


@pytest.mark.parametrize("kind", SPECS)
def test_it_is_the_float_network_it_was_made_of(kind: str) -> None:
    torch.manual_seed(0)
    net = build(SPECS[kind], ("pvc", "sve"))
    x = torch.randn(16, 1, 400)
    net.train()
    for _ in range(20):
        net(x)  # batch norms with statistics of their own
    net.eval()
    quantized = QuantizedEvidenceNet(net).eval()
    quantized.calibrate([x])
    exact = dequantized(quantized).evidence(x)
    torch.testing.assert_close(exact, net.evidence(x), atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        rounded = quantized.evidence(x)
    assert 0 < (rounded - exact).abs().max() < 0.5


def test_it_follows_the_int8_network_s_weights() -> None:
    torch.manual_seed(0)
    quantized = QuantizedEvidenceNet(build(SPECS["dense"], ("pvc", "sve")).eval())
    x = torch.randn(4, 1, 400)
    quantized.calibrate([x])
    before = dequantized(quantized).evidence(x)
    with torch.no_grad():
        quantized.head.bias += 2.0
    torch.testing.assert_close(dequantized(quantized).evidence(x), before + 2.0)
