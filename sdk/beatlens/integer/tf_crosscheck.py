"""Convert a graph with TensorFlow's own converter: an independent check of our `.tflite` files.

The graph is rebuilt in TensorFlow in floating point, with `fake_quant` operators of our ranges, and
converted by `TFLiteConverter`. The result must be the same network: the same operators, scales,
weights and biases to the bit. Only this module needs TensorFlow; it is imported when a function is
called.

TensorFlow knows no scales, only ranges: from a range `[low, high]` in float32 it derives
`float32((high - low) / steps)`. The range of a scale is itself rounded to float32, so going there
and back may miss the scale by one unit in the last place. :func:`find_range` therefore moves the
ends of the range by single float32 steps until TensorFlow's formula gives exactly the scale.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer.graph import (
    Add,
    Conv,
    Convolution,
    Crop,
    IntegerGraph,
    Mean,
    Op,
    Permute,
    Quantization,
)
from beatlens.integer.tflite_read import read_tflite

MAX_STEPS = 3
"""Largest number of float32 steps that an end of a range is moved by in the search."""


def find_range(scale: float, lowest: int, highest: int) -> tuple[np.float32, np.float32]:
    """Find float32 ends of a range from which TensorFlow derives exactly this float32 scale.

    `lowest` and `highest` are the integers at the ends, zero point subtracted: `-128 - z` and
    `127 - z` for an activation, -127 and 127 for weights. Raises ModelError if there are none.

    >>> low, high = find_range(float(np.float32(0.1)), -127, 127)
    >>> bool(np.float32((float(high) - float(low)) / 254) == np.float32(0.1))
    True
    """
    steps = range(-MAX_STEPS, MAX_STEPS + 1)
    tries = sorted(itertools.product(steps, steps), key=lambda pair: abs(pair[0]) + abs(pair[1]))
    for low_step, high_step in tries:
        with np.errstate(over="ignore"):  # an end beyond float32 is infinite, and gives no scale
            low = _moved(np.float32(lowest * scale), low_step)
            high = _moved(np.float32(highest * scale), high_step)
        if low > 0 or high < 0 or (lowest == 0) != (low == 0) or (highest == 0) != (high == 0):
            continue
        if np.float32((float(high) - float(low)) / (highest - lowest)) == np.float32(scale):
            return low, high
    raise ModelError(
        f"no float32 range {lowest}..{highest} gives TensorFlow the scale {scale!r}; "
        "choose a scale that is one float32 step away"
    )


def _moved(value: np.float32, steps: int) -> np.float32:
    """The float32 number this many representable numbers further away from zero."""
    toward = np.float32(np.copysign(np.inf if steps > 0 else 0, value))
    for _ in range(abs(steps)):
        value = np.nextafter(value, toward)
    return value


def convert_with_tensorflow(graph: IntegerGraph) -> bytes:
    """Convert a graph, from floats and ranges, with TensorFlow's `TFLiteConverter`.

    Raises ImportError without TensorFlow, ModelError for a scale that no float32 range gives.
    """
    import tensorflow as tf

    source = graph.tensors[graph.input]
    shape = [1, 1, source.length, source.channels]

    def network(x: Any) -> dict[str, Any]:
        values = {graph.input: _fake_quantised(tf, x, source.quantization)}
        for op in graph.ops:
            value = _rebuilt(tf, op, graph, values)
            if not isinstance(op, Crop | Permute):  # these keep their input's quantisation
                value = _fake_quantised(tf, value, graph.tensors[op.output].quantization)
            values[op.output] = value
        return {role: values[name] for role, name in graph.outputs.items()}

    signature = [tf.TensorSpec(shape, tf.float32, name="input")]
    traced = tf.function(network, autograph=False, input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def differences(graph: IntegerGraph, model: bytes) -> list[str]:
    """List where the network in a `.tflite` file differs from `graph`; empty if nowhere.

    Operators, their wiring, attributes, weights, biases and all scales and zero points are compared
    exactly. Raises ModelError if the file cannot be read.
    """
    other = read_tflite(model)
    if [op.kind for op in graph.ops] != [op.kind for op in other.ops]:
        found = [op.kind for op in other.ops]
        return [f"operators are {found}, expected {[op.kind for op in graph.ops]}"]
    renamed = {other.input: graph.input}
    result = _tensor_differences(graph, other, graph.input, other.input)
    for op, other_op in zip(graph.ops, other.ops, strict=True):
        renamed[other_op.output] = op.output
        if sorted(renamed[name] for name in other_op.inputs) != sorted(op.inputs):
            result.append(f"{op.name}: reads {other_op.inputs}, expected {op.inputs}")
        result += _tensor_differences(graph, other, op.output, other_op.output)
        for name in ("stride", "padding", "relu", "groups", "start", "stop", "order"):
            if getattr(op, name, None) != getattr(other_op, name, None):
                result.append(
                    f"{op.name}: {name} is {getattr(other_op, name)}, expected {getattr(op, name)}"
                )
        if isinstance(op, Convolution):
            for name in ("weights", "weight_scales", "bias"):
                expected, converted = getattr(op, name), getattr(other_op, name)
                if not np.array_equal(expected, converted):
                    result.append(f"{op.name}: {name} differ in {_count(expected, converted)}")
    return result


def _count(expected: NDArray[Any], found: NDArray[Any]) -> str:
    if expected.shape != found.shape:
        return f"shape: {found.shape}, expected {expected.shape}"
    return f"{int((expected != found).sum())} of {expected.size} values"


def _tensor_differences(
    graph: IntegerGraph, other: IntegerGraph, name: str, other_name: str
) -> list[str]:
    expected, found = graph.tensors[name], other.tensors[other_name]
    return [
        f"tensor {name}: {field} is {getattr(found, field)}, expected {getattr(expected, field)}"
        for field in ("length", "channels", "quantization")
        if getattr(expected, field) != getattr(found, field)
    ]


def _fake_quantised(tf: Any, x: Any, quantization: Quantization) -> Any:
    zero_point = quantization.zero_point
    low, high = find_range(quantization.scale, -128 - zero_point, 127 - zero_point)
    return tf.quantization.fake_quant_with_min_max_args(x, min=float(low), max=float(high))


def _rebuilt(tf: Any, op: Op, graph: IntegerGraph, values: dict[str, Any]) -> Any:
    """One operator in floating point, before its output is quantised."""
    match op:
        case Convolution():
            return _convolution(tf, op, graph, values[op.input])
        case Add():
            total = values[op.a] + values[op.b]
            return tf.nn.relu(total) if op.relu else total
        case Crop():
            channels = graph.tensors[op.output].channels
            return tf.slice(
                values[op.input], [0, 0, op.start, 0], [1, 1, op.stop - op.start, channels]
            )
        case Permute():
            return tf.gather(values[op.input], list(op.order), axis=3)
        case Mean():
            return tf.reduce_mean(values[op.input], axis=[1, 2])


def _convolution(tf: Any, op: Convolution, graph: IntegerGraph, x: Any) -> Any:
    ranges = [find_range(float(scale), -127, 127) for scale in op.weight_scales]
    lows, highs = (np.array(ends, np.float32) for ends in zip(*ranges, strict=True))
    # Output channels last, as TensorFlow has them and as per-channel fake_quant wants them.
    integers = op.weights.transpose(1, 2, 0) if isinstance(op, Conv) else op.weights[:, None]
    weights = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        integers[None].astype(np.float32) * op.weight_scales, lows, highs, narrow_range=True
    )
    padding = op.padding.upper()
    if isinstance(op, Conv):
        y = tf.nn.conv2d(x, weights, strides=[1, 1, op.stride, 1], padding=padding)
    else:
        weights = tf.transpose(weights, [0, 1, 3, 2])
        # TensorFlow wants equal strides; with one row the first one changes nothing.
        strides = [1, op.stride, op.stride, 1]
        y = tf.nn.depthwise_conv2d(x, weights, strides=strides, padding=padding)
    input_scale = np.float64(graph.tensors[op.input].quantization.scale)
    y = y + (op.bias * input_scale * op.weight_scales.astype(np.float64)).astype(np.float32)
    return tf.nn.relu(y) if op.relu else y
