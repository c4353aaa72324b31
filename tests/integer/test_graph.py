"""What an integer graph refuses, and what it knows about itself."""

from dataclasses import replace

import numpy as np
import pytest

from beatlens.errors import ModelError
from beatlens.integer.graph import (
    Add,
    Conv,
    Crop,
    DepthwiseConv,
    IntegerGraph,
    Mean,
    Permute,
    Quantization,
    Tensor,
)

from .graphs import random_graph, student_graph

Q = Quantization(0.5, 0)
OUTPUTS = {"logits": "logits", "evidence": "evidence"}
MEAN = Mean(name="mean", input="evidence", output="logits")


def conv(output="evidence", source="input", weights=None, **changes):
    weights = np.ones((1, 3, 1), np.int8) if weights is None else weights
    channels = weights.shape[0]
    settings = {
        "name": output,
        "input": source,
        "output": output,
        "weights": weights,
        "weight_scales": np.ones(channels, np.float32),
        "bias": np.zeros(channels, np.int32),
    }
    return Conv(**(settings | changes))


def graph(*ops, outputs=OUTPUTS, **tensors):
    default = {
        "input": Tensor("input", 10, 1, Q),
        "evidence": Tensor("evidence", 8, 1, Q),
        "logits": Tensor("logits", 1, 1, Q),
    }
    return IntegerGraph(default | tensors, ops or (conv(), MEAN), "input", outputs)


def test_a_sound_graph_is_accepted():
    assert graph().operator_names == ["CONV_2D", "MEAN"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": np.ones((1, 3, 1), np.int16)}, "'weights': is int16"),
        ({"weights": np.ones((3, 1), np.int8)}, "'weights': is int8 of 2 dimensions"),
        ({"weights": [[[1]]] * 2, "bias": None}, "'weights': is list"),
        ({"weights": np.ones((1, 0, 1), np.int8)}, "empty shape"),
        ({"weights": np.full((1, 3, 1), -128, np.int8)}, "contains -128"),
        ({"bias": np.zeros(2, np.int32)}, r"'bias': has shape \(2,\), expected \(1,\)"),
        ({"weight_scales": np.zeros(1, np.float32)}, "contains 0.0, scales are positive"),
        ({"weight_scales": np.full(1, np.nan, np.float32)}, "contains nan"),
        ({"weight_scales": np.ones(1, np.float64)}, "'weight_scales': is float64"),
        ({"stride": 0}, "stride is 0"),
        ({"padding": "full"}, "padding is 'full'"),
    ],
)
def test_a_convolution_refuses_bad_parameters(changes, reason):
    settings = {
        "weights": np.ones((1, 3, 1), np.int8),
        "weight_scales": np.ones(1, np.float32),
        "bias": np.zeros(1, np.int32),
    } | changes
    with pytest.raises(ModelError, match=reason):
        Conv(name="c", input="input", output="evidence", **settings)


def test_parameters_are_copied_and_read_only():
    weights = np.ones((1, 3, 1), np.int8)
    op = conv(weights=weights)
    weights[:] = 5
    assert (op.weights == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        op.weights[:] = 0


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (Tensor("evidence", 9, 1, Q), "'evidence': has 9 columns, expected 8"),
        (Tensor("evidence", 8, 2, Q), "'evidence': has 2 channels, expected 1"),
        (Tensor("other", 8, 1, Q), "key and name must agree"),
        (Tensor("evidence", 8, 1, Quantization(0.1, 0)), "no float32 value"),
        (Tensor("evidence", 8, 1, Quantization(1e60, 0)), "no float32 value"),
        (Tensor("evidence", 8, 1, Quantization(-0.5, 0)), "scale is -0.5"),
        (Tensor("evidence", 8, 1, Quantization(float("nan"), 0)), "scale is nan"),
        (Tensor("evidence", 8, 1, Quantization(0.5, 128)), "zero point is 128"),
        (Tensor("evidence", 8, 1, Quantization(2.0**-40, 0)), "moves the accumulator out of 32"),
        (Tensor("evidence", 8, 1, Quantization(2.0**40, 0)), "would flush to zero"),
        (Tensor("evidence", 0, 1, Q), "0 columns"),
    ],
)
def test_a_bad_tensor_is_refused(tensor, reason):
    with pytest.raises(ModelError, match=reason):
        graph(evidence=tensor)


def test_an_accumulator_that_could_overflow_is_refused_and_one_that_cannot_is_not():
    # 127 * 255 * 66311 taps is the last sum below 2**31 for zero point -128.
    q = Quantization(0.5, -128)
    coarse = Quantization(float(2**20), 0)
    for taps, sound in ((66311, True), (66312, False)):
        tensors = {
            "input": Tensor("input", taps, 1, q),
            "evidence": Tensor("evidence", 1, 1, coarse),
            "logits": Tensor("logits", 1, 1, coarse),
        }
        op = conv(weights=np.full((1, taps, 1), 127, np.int8))
        if sound:
            IntegerGraph(tensors, (op, MEAN), "input", OUTPUTS)
        else:
            with pytest.raises(ModelError, match=r"accumulator of channel 0 can reach 21475"):
                IntegerGraph(tensors, (op, MEAN), "input", OUTPUTS)


def test_a_bias_counts_towards_the_accumulator():
    with pytest.raises(ModelError, match="accumulator"):
        graph(conv(bias=np.array([2**31 - 1], np.int32)), MEAN)


@pytest.mark.parametrize(("room", "sound"), [(128, True), (127, False)])
def test_a_zero_point_counts_towards_32_bits(room, sound):
    """A factor just below 1 leaves a sum as it is, and kernels add the zero point to that."""
    above, below = np.float32(1 + 200 * 2.0**-23), np.float32(1 - 200 * 2.0**-23)
    tensors = {
        "input": Tensor("input", 8, 1, Quantization(float(above), 0)),
        "evidence": Tensor("evidence", 8, 1, Quantization(1.0, 127)),
        "logits": Tensor("logits", 1, 1, Quantization(1.0, 127)),
    }
    op = conv(
        weights=np.ones((1, 1, 1), np.int8),
        weight_scales=np.array([below]),
        bias=np.array([2**31 - 1 - 128 - room], np.int32),
    )
    if sound:
        IntegerGraph(tensors, (op, MEAN), "input", OUTPUTS)
    else:
        with pytest.raises(ModelError, match="moves the accumulator out of 32 bits"):
            IntegerGraph(tensors, (op, MEAN), "input", OUTPUTS)


def test_bad_wiring_is_refused():
    with pytest.raises(ModelError, match="'nowhere': is read before"):
        graph(conv(source="nowhere"), MEAN)
    with pytest.raises(ModelError, match="is written twice"):
        graph(conv(), conv(name="again"), MEAN)
    with pytest.raises(ModelError, match="name is used twice"):
        graph(conv(name="mean"), MEAN)
    with pytest.raises(ModelError, match="no operator writes tensor 'spare'"):
        graph(spare=Tensor("spare", 1, 1, Q))
    with pytest.raises(ModelError, match="outputs are"):
        graph(outputs={"logits": "logits"})
    with pytest.raises(ModelError, match="cannot be the output 'logits'"):
        graph(outputs={"logits": "evidence", "evidence": "evidence"})
    with pytest.raises(ModelError, match="is not among the graph's tensors"):
        graph(conv(output="elsewhere"), MEAN)


def test_channels_must_agree():
    two = np.ones((1, 3, 2), np.int8)
    with pytest.raises(ModelError, match="'input': has 1 channels, the weights expect 2"):
        graph(conv(weights=two), MEAN)


def test_add_needs_equal_shapes():
    tensors = {"wide": Tensor("wide", 10, 1, Q), "narrow": Tensor("narrow", 8, 1, Q)}
    identity = conv("wide", weights=np.ones((1, 1, 1), np.int8))
    add = Add(name="add", a="narrow", b="wide", output="evidence")
    with pytest.raises(ModelError, match="'wide': has 10 columns"):
        graph(identity, conv("narrow"), add, MEAN, **tensors)


def test_a_crop_stays_inside_and_keeps_the_quantisation():
    crop = Crop(name="crop", input="input", output="evidence", start=1, stop=9)
    assert graph(crop, MEAN).macs == 0
    with pytest.raises(ModelError, match=r"cannot be cropped to 3\.\.11"):
        graph(replace(crop, start=3, stop=11), MEAN)
    other = Tensor("evidence", 8, 1, Quantization(0.5, 1))
    with pytest.raises(ModelError, match="a crop keeps"):
        graph(crop, MEAN, evidence=other)


WIDE = {
    "input": Tensor("input", 10, 4, Q),
    "turned": Tensor("turned", 10, 4, Q),
    "evidence": Tensor("evidence", 8, 6, Q),
    "logits": Tensor("logits", 1, 6, Q),
}


def test_groups_divide_the_work_and_the_weights():
    tensors = {name: WIDE[name] for name in ("input", "evidence", "logits")}
    dense = graph(conv(weights=np.ones((6, 3, 4), np.int8)), MEAN, **tensors)
    grouped = graph(conv(weights=np.ones((6, 3, 2), np.int8), groups=2), MEAN, **tensors)
    assert (dense.macs, grouped.macs) == (8 * 6 * 3 * 4, 8 * 6 * 3 * 2)
    assert (dense.weight_bytes, grouped.weight_bytes) == (72 + 24, 36 + 24)
    op = grouped.ops[0]
    assert (op.channels, op.input_channels, op.kernel) == (6, 4, 3)


def test_groups_bound_the_accumulator():
    # A group of 2 of 4 channels sums half as much; the bound must know.
    q, coarse = Quantization(0.5, -128), Quantization(float(2**20), 0)
    taps = 20_000
    tensors = {
        "input": Tensor("input", taps, 4, q),
        "evidence": Tensor("evidence", 1, 2, coarse),
        "logits": Tensor("logits", 1, 2, coarse),
    }
    weights = np.full((2, taps, 4), 127, np.int8)
    IntegerGraph(tensors, (conv(weights=weights[:, :, :2], groups=2), MEAN), "input", OUTPUTS)
    with pytest.raises(ModelError, match="accumulator of channel 0 can reach"):
        IntegerGraph(tensors, (conv(weights=weights), MEAN), "input", OUTPUTS)


@pytest.mark.parametrize("groups", [0, -1, 4, 7])
def test_groups_that_do_not_divide_the_output_are_refused(groups):
    reason = f"operator 'evidence'.*'weights': 6 output channels do not fall into {groups} equal"
    with pytest.raises(ModelError, match=reason):
        conv(weights=np.ones((6, 3, 2), np.int8), groups=groups)


def test_groups_and_the_inputs_channels_must_agree():
    tensors = {name: WIDE[name] for name in ("input", "evidence", "logits")}
    with pytest.raises(ModelError, match="'input': has 4 channels, the weights expect 6"):
        graph(conv(weights=np.ones((6, 3, 2), np.int8), groups=3), MEAN, **tensors)


@pytest.mark.parametrize("order", [(), (1,), (0, 0, 1, 2), (0, 1, 2, 4), (-1, 0, 1, 2)])
def test_an_order_that_is_no_permutation_is_refused(order):
    with pytest.raises(ModelError, match=r"operator 'turn' \(GATHER\), tensor 'turned': order"):
        Permute(name="turn", input="input", output="turned", order=order)


def test_a_permutation_fits_its_tensors():
    turn = Permute(name="turn", input="input", output="turned", order=np.array([2, 0, 3, 1]))
    assert turn.order == (2, 0, 3, 1)
    last = conv(source="turned", weights=np.ones((6, 3, 4), np.int8))
    made = graph(turn, last, MEAN, **WIDE)
    assert made.macs == 8 * 6 * 3 * 4
    assert made.with_input_length(20).tensors["turned"].length == 20
    with pytest.raises(ModelError, match="'input': has 4 channels, its order is one of 3"):
        graph(replace(turn, order=(2, 0, 1)), last, MEAN, **WIDE)
    other = {"turned": Tensor("turned", 10, 4, Quantization(0.25, 0))}
    with pytest.raises(ModelError, match=r"'turned': has .* a permutation keeps"):
        graph(turn, last, MEAN, **(WIDE | other))
    short = {"turned": Tensor("turned", 9, 4, Q)}
    with pytest.raises(ModelError, match="'turned': has 9 columns, expected 10"):
        graph(turn, last, MEAN, **(WIDE | short))


def test_macs_and_weight_bytes_of_the_student():
    student = student_graph(columns=160)
    kernels, channels, lengths = (8, 8, 8, 12, 12, 12, 1), (8, 12, 16, 24, 32, 32, 4), []
    length = student.tensors["input"].length
    for kernel, stride in zip(kernels, (2, 2, 2, 1, 1, 1, 1), strict=True):
        length = (length - kernel) // stride + 1
        lengths.append(length)
    weights = [k * i * o for k, i, o in zip(kernels, (1, *channels), channels, strict=False)]
    assert lengths[-1] == 160
    assert student.macs == sum(w * t for w, t in zip(weights, lengths, strict=True))
    assert student.weight_bytes == sum(weights) + 4 * sum(channels)


@pytest.mark.parametrize("seed", range(20))
def test_another_input_length_keeps_everything_else(seed):
    first = random_graph(seed)
    stride = int(np.prod([op.stride for op in first.ops if hasattr(op, "stride")]))
    length = first.tensors["input"].length
    longer = first.with_input_length(length + 3 * stride)
    assert longer.tensors["evidence"].length == first.tensors["evidence"].length + 3
    assert longer.weight_bytes == first.weight_bytes
    same = longer.with_input_length(length)
    assert same.tensors == first.tensors
    assert [op for op in same.ops if isinstance(op, Crop)] == [
        op for op in first.ops if isinstance(op, Crop)
    ]


def test_an_input_that_is_too_short_is_refused():
    with pytest.raises(ModelError, match="columns"):
        graph().with_input_length(2)


def test_depthwise_weights_are_taps_by_channels():
    op = DepthwiseConv(
        name="d",
        input="input",
        output="evidence",
        weights=np.array([[1], [2], [3]], np.int8),
        weight_scales=np.ones(1, np.float32),
        bias=np.zeros(1, np.int32),
    )
    assert (op.kernel, op.channels, op.taps.tolist()) == (3, 1, [[1, 2, 3]])
    assert graph(op, MEAN).macs == 24
