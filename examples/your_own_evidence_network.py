"""From an own evidence network to an int8 TFLite file with a saliency output, without a recipe.

Run it: `python examples/your_own_evidence_network.py out.tflite`.
"""

import sys
from pathlib import Path

import torch

from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.backbones import NetworkSpec, build


def main(path: Path) -> None:
    spec = NetworkSpec("depthwise", channels=(8, 16, 24), kernels=(8, 12, 12), strides=(2, 2, 2))
    net = build(spec, ("normal", "abnormal")).eval()  # train it here
    span = 1280  # 10 s at 128 Hz
    windows = torch.randn(64, 1, net.geometry.input_length(span // net.geometry.stride))

    quantized = QuantizedEvidenceNet(net).eval()
    quantized.calibrate(windows.split(16))  # real windows, in mV
    graph = build_graph(quantized, span)
    path.write_bytes(write_tflite(graph))
    print(f"{path}: {path.stat().st_size:,} bytes, {graph.macs:,} MACs, {graph.operator_names}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out.tflite"))
