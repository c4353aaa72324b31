"""All parameters of an integer graph as packed bytes, and back.

    4  "BLPK"
    1  version, 1
    1  0
    2  number of layers
    4  bytes of the whole, from "BLPK" to the checksum
       layers, in order of execution, each from a multiple of 4 on:
           4  bytes of the packed tensor
           2  output channels
           1  0: convolution, 1: depthwise
           1  0
           4  bias, int32, for each output channel
           4  weight scale, float32, for each output channel
              the packed tensor (see `beatlens.packed`), and zeros up to a multiple of 4
    4  CRC-32 of all bytes before

Whole numbers and floats are little-endian. Biases and scales can be used where they lie.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer.graph import Convolution, DepthwiseConv, IntegerGraph
from beatlens.packed import MAX_WEIGHTS, decode_tensor, encode_tensor
from beatlens.packed.bits import refuse

MAGIC, VERSION = b"BLPK", 1
START, LAYER, CHECKSUM = struct.Struct("<4sBBHI"), struct.Struct("<IHBB"), struct.Struct("<I")
MAX_LAYERS, MAX_CHANNELS = (1 << 16) - 1, (1 << 16) - 1


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """The parameters of one convolution.

    Attributes:
        weights: int8 `[out, k, in]`; depthwise `[out, k, 1]`.
        bias: int32 `[out]`.
        weight_scales: float32 `[out]`.
        depthwise: whether each output channel reads only the input channel of its own number.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    weight_scales: NDArray[np.float32]
    depthwise: bool = False

    def same_as(self, other: PackedLayer) -> bool:
        """Equal in kind, shapes and every bit."""
        pairs = (
            (getattr(self, n), getattr(other, n)) for n in ("weights", "bias", "weight_scales")
        )
        return self.depthwise == other.depthwise and all(
            a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs
        )


def list_layers(graph: IntegerGraph) -> list[PackedLayer]:
    """List the parameters of a graph's convolutions, in order of execution."""
    found = []
    for op in graph.ops:
        if isinstance(op, Convolution):
            depthwise = isinstance(op, DepthwiseConv)
            weights = op.weights.T[:, :, None] if depthwise else op.weights
            weights = np.ascontiguousarray(weights)
            found.append(PackedLayer(weights, op.bias, op.weight_scales, depthwise))
    return found


def pack_model(graph: IntegerGraph) -> bytes:
    """Pack weights, biases and scales of a graph.

    Raises ModelError for more layers or channels than 16 bits can count.
    """
    layers = list_layers(graph)
    body = b"".join(_pack_layer(layer) for layer in layers)
    if len(layers) > MAX_LAYERS:
        raise ModelError(f"{len(layers)} layers to pack, expected at most {MAX_LAYERS}")
    size = START.size + len(body) + CHECKSUM.size
    data = START.pack(MAGIC, VERSION, 0, len(layers), size) + body
    return data + CHECKSUM.pack(zlib.crc32(data))


def unpack_model(data: bytes, limit: int = MAX_WEIGHTS) -> list[PackedLayer]:
    """Unpack the layers of a model, in order of execution.

    Raises ModelError where the bytes are not as `pack_model` wrote them (cut off, longer, changed:
    the checksum differs, or of another version), and for more than `limit` weights in all.
    """
    data = bytes(data)
    if len(data) < START.size + CHECKSUM.size:
        refuse(f"{len(data)} bytes, expected at least {START.size + CHECKSUM.size}")
    magic, version, zero, count, size = START.unpack_from(data)
    if magic != MAGIC:
        refuse(f"they start with {magic!r}, expected {MAGIC!r}")
    if (version, zero) != (VERSION, 0):
        refuse(f"format version is {version}.{zero}, expected {VERSION}.0")
    if size != len(data):
        refuse(f"{len(data)} bytes, expected {size}")
    wanted, found = CHECKSUM.unpack(data[-4:])[0], zlib.crc32(data[:-4])
    if found != wanted:
        refuse(f"the checksum is {found:08x}, expected {wanted:08x}")
    at, layers = START.size, []
    for _ in range(count):
        layer, at = _unpack_layer(data[:-4], at, limit)
        limit -= layer.weights.size
        layers.append(layer)
    if at != len(data) - CHECKSUM.size:
        refuse(f"{len(data) - CHECKSUM.size - at} bytes are left over behind {count} layers")
    return layers


def check_model(data: bytes, graph: IntegerGraph) -> None:
    """Raise ModelError unless the packed bytes hold exactly the parameters of a graph."""
    wanted, found = list_layers(graph), unpack_model(data)
    if len(found) != len(wanted):
        raise ModelError(f"packed weights: {len(found)} layers, the network has {len(wanted)}")
    for number, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if not a.same_as(b):
            raise ModelError(
                f"packed weights: layer {number} of shape {a.weights.shape} is not that of the "
                f"network, {b.weights.shape}; the files are not of one model, get them again"
            )


def _pack_layer(layer: PackedLayer) -> bytes:
    channels = len(layer.weights)
    if channels > MAX_CHANNELS:
        raise ModelError(f"{channels} output channels to pack, expected at most {MAX_CHANNELS}")
    tensor = encode_tensor(layer.weights)
    start = LAYER.pack(len(tensor), channels, int(layer.depthwise), 0)
    bias, scales = layer.bias.astype("<i4").tobytes(), layer.weight_scales.astype("<f4").tobytes()
    return start + bias + scales + tensor + bytes(-len(tensor) % 4)


def _unpack_layer(data: bytes, at: int, limit: int) -> tuple[PackedLayer, int]:
    """Unpack a layer; also return the position after it."""
    if at + LAYER.size > len(data):
        refuse("they end before the last layer")
    size, channels, kind, zero = LAYER.unpack_from(data, at)
    at += LAYER.size
    end = at + 8 * channels + size
    padded = end + -size % 4
    if padded > len(data):
        refuse(f"a layer ends at byte {padded} of {len(data)}")
    if kind > 1 or zero or any(data[end:padded]):
        refuse(f"a layer is of kind {kind}.{zero}, or its padding is not zero")
    bias = np.frombuffer(data, "<i4", channels, at).astype(np.int32)
    scales = np.frombuffer(data, "<f4", channels, at + 4 * channels).astype(np.float32)
    if not (np.isfinite(scales) & (scales > 0)).all():
        refuse("a weight scale is not a positive number")
    weights = decode_tensor(data[at + 8 * channels : end], limit)
    if len(weights) != channels or (kind == 1 and weights.shape[2] != 1):
        refuse(f"weights {weights.shape} in a layer of kind {kind} with {channels} channels")
    return PackedLayer(weights, bias, scales, kind == 1), padded
