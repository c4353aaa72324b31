"""A graph's parameters, packed whole: back exactly, and refused when a bit is off."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.errors import ModelError
from beatlens.integer.graph import Convolution
from beatlens.integer.packing import (
    LAYER,
    START,
    check_model,
    list_layers,
    pack_model,
    unpack_model,
)

from .graphs import random_graph, student_graph


@pytest.mark.parametrize("seed", range(12))
def test_a_graph_comes_back(seed):
    """Dense, depthwise, padded and residual graphs."""
    graph = random_graph(seed)
    packed = pack_model(graph)
    check_model(packed, graph)
    convolutions = [op for op in graph.ops if isinstance(op, Convolution)]
    for layer, op in zip(unpack_model(packed), convolutions, strict=True):
        again = layer.weights[:, :, 0].T if layer.depthwise else layer.weights
        np.testing.assert_array_equal(again, op.weights)
        np.testing.assert_array_equal(layer.bias, op.bias)
        assert layer.weight_scales.tobytes() == op.weight_scales.tobytes()
        assert layer.depthwise == (op.kind == "DEPTHWISE_CONV_2D")


def test_biases_and_scales_lie_at_multiples_of_four():
    graph = student_graph()
    packed, at = pack_model(graph), START.size
    for op in list_layers(graph):
        size, channels, *_ = LAYER.unpack_from(packed, at)
        at += LAYER.size
        assert at % 4 == 0
        bias = np.frombuffer(packed, "<i4", channels, at)
        scales = np.frombuffer(packed, "<f4", channels, at + 4 * channels)
        np.testing.assert_array_equal(bias, op.bias)
        np.testing.assert_array_equal(scales, op.weight_scales)
        at += 8 * channels + size + -size % 4
    assert at == len(packed) - 4
    assert struct.unpack("<I", packed[-4:])[0] == zlib.crc32(packed[:-4])


def test_another_network_is_refused():
    graph = student_graph(seed=0)
    with pytest.raises(ModelError, match="layer 0 of shape"):
        check_model(pack_model(student_graph(seed=1)), graph)
    with pytest.raises(ModelError, match="layers, the network has"):
        check_model(pack_model(random_graph(2)), random_graph(1))


PACKED = pack_model(random_graph(3))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 8 * len(PACKED) - 1))
def test_each_bit_counts(position):
    damaged = bytearray(PACKED)
    damaged[position >> 3] ^= 1 << (position & 7)
    with pytest.raises(ModelError, match="packed weights: "):
        unpack_model(bytes(damaged))


@settings(max_examples=400, deadline=None)
@given(position=st.integers(0, len(PACKED) - 5), value=st.binary(min_size=1, max_size=4))
def test_changes_with_a_right_checksum(position, value):
    """As one would make them who means it."""
    damaged = bytearray(PACKED[:-4])
    damaged[position : position + len(value)] = value
    data = bytes(damaged) + struct.pack("<I", zlib.crc32(damaged))
    try:
        layers = unpack_model(data, limit=1 << 16)
    except ModelError:
        return
    assert sum(layer.weights.size for layer in layers) <= 1 << 16
    for layer in layers:
        assert len(layer.weights) == len(layer.bias) == len(layer.weight_scales)


def test_cut_off_and_longer():
    for keep in range(len(PACKED)):
        with pytest.raises(ModelError):
            unpack_model(PACKED[:keep])
    with pytest.raises(ModelError, match=f"{len(PACKED) + 1} bytes, expected {len(PACKED)}"):
        unpack_model(PACKED + b"\0")


def signed(data: bytes) -> bytes:
    """With the right size and checksum."""
    whole = bytearray(data)
    whole[8:12] = struct.pack("<I", len(data) + 4)
    return bytes(whole) + struct.pack("<I", zlib.crc32(whole))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"BLPX" + PACKED[4:-4], "start with b'BLPX', expected b'BLPK'"),
        (PACKED[:4] + b"\2" + PACKED[5:-4], "format version is 2.0, expected 1.0"),
        (PACKED[:6] + b"\xff\xff" + PACKED[8:-4], "end before the last layer"),
        (PACKED[:6] + b"\0\0" + PACKED[8:-4], "left over behind 0 layers"),
        (PACKED[:12] + b"\xff\xff\xff\xff" + PACKED[16:-4], "a layer ends at byte"),
        (PACKED[:18] + b"\2" + PACKED[19:-4], "of kind 2.0"),
    ],
)
def test_messages_name_the_error(data, message):
    with pytest.raises(ModelError, match=message):
        unpack_model(signed(data))


def test_a_scale_that_is_no_number_is_refused():
    graph = random_graph(3)
    channels = len(list_layers(graph)[0].bias)
    place = START.size + LAYER.size + 4 * channels
    data = PACKED[:place] + struct.pack("<f", float("nan")) + PACKED[place + 4 : -4]
    with pytest.raises(ModelError, match="scale is not a positive number"):
        unpack_model(signed(data))


def test_a_limit_on_weights_is_one_on_all_layers():
    graph = student_graph()
    weights = sum(layer.weights.size for layer in list_layers(graph))
    assert unpack_model(pack_model(graph), limit=weights)
    with pytest.raises(ModelError, match="weights"):
        unpack_model(pack_model(graph), limit=weights - 1)
