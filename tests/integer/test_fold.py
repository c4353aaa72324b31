"""Folding permutations: nothing but the permutations changes, and few of them are left."""

from dataclasses import replace

import numpy as np
import pytest

from beatlens.integer.fold import fold_permutations
from beatlens.integer.graph import (
    Add,
    Conv,
    Convolution,
    DepthwiseConv,
    IntegerGraph,
    Permute,
    Quantization,
    Tensor,
)
from beatlens.integer.simulate import simulate

from .graphs import Builder, adversarial_inputs, permuted_graph, random_graph

SEEDS = range(60)
SHARED = {"kernel": 3, "stride": 1, "padding": "valid", "relu": True}


def permutes(graph: IntegerGraph) -> list[Permute]:
    return [op for op in graph.ops if isinstance(op, Permute)]


def assert_same_outputs(graph: IntegerGraph, other: IntegerGraph, seed: int = 0) -> None:
    x = adversarial_inputs(graph, seed)
    expected, found = simulate(graph, x), simulate(other, x)
    for role in ("evidence", "logits"):
        np.testing.assert_array_equal(found[role], expected[role], err_msg=role)
    assert len(np.unique(expected["evidence"])) > 4  # alive


class Chain(Builder):
    """A chain of operators of 8 channels each."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(np.random.default_rng(seed), 40, leads=1)
        self.newest = self.convolution("input", "first", channels=8, depthwise=False, **SHARED)

    def then(self, *kinds: str) -> "Chain":
        for kind in kinds:
            name = f"{kind}{len(self.ops)}"
            if kind == "permute":
                self.newest = self.permute(self.newest, name)
                op = self.ops[-1]
                if op.order == tuple(range(8)):  # the test means one that moves something
                    self.ops[-1] = replace(op, order=op.order[::-1])
                    self.real[name] = self.real[op.input][:, :, ::-1]
            else:
                self.newest = self.convolution(
                    self.newest,
                    name,
                    channels=8,
                    depthwise=kind == "depthwise",
                    groups=4 if kind == "grouped" else 1,
                    **SHARED,
                )
        return self

    def graph(self) -> IntegerGraph:
        return self.head(self.newest, classes=3)


@pytest.mark.parametrize("seed", SEEDS)
def test_outputs_are_the_same_bit_for_bit(seed: int) -> None:
    graph = permuted_graph(seed)
    folded = fold_permutations(graph)
    assert_same_outputs(graph, folded, seed)
    assert folded.macs == graph.macs
    assert folded.weight_bytes == graph.weight_bytes
    assert len(permutes(folded)) <= len(permutes(graph))
    again = fold_permutations(folded)
    assert [op.name for op in again.ops] == [op.name for op in folded.ops]
    moved = [sum(_values(g, op) for op in permutes(g)) for g in (graph, folded)]
    assert moved[1] <= moved[0]


def _values(graph: IntegerGraph, op: Permute) -> int:
    return graph.tensors[op.output].length * graph.tensors[op.output].channels


def test_the_random_graphs_hold_what_is_to_be_folded() -> None:
    before = [op for seed in SEEDS for op in permuted_graph(seed).ops]
    after = [op for seed in SEEDS for op in fold_permutations(permuted_graph(seed)).ops]
    grouped = [op for op in before if isinstance(op, Conv) and op.groups > 1]
    assert {op.groups for op in grouped} == {2, 4}
    assert sum(isinstance(op, DepthwiseConv) for op in before) > 20
    assert sum(isinstance(op, Add) for op in before) > 20
    counts = [sum(isinstance(op, Permute) for op in ops) for ops in (before, after)]
    assert 0 < counts[1] < 0.5 * counts[0]


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        (["permute", "dense"], 0),
        (["dense", "permute"], 0),
        (["permute", "permute", "permute"], 0),
        (["permute", "depthwise", "permute", "depthwise", "dense"], 0),
        # A grouped convolution between dense ones: its permutations go into those.
        (["permute", "grouped", "permute"], 0),
        (["permute", "grouped", "permute", "depthwise"], 0),
        (["depthwise", "permute", "grouped", "permute"], 0),
        # Two grouped ones that meet: their permutations become one, wherever it stood.
        (["permute", "grouped", "permute", "permute", "grouped", "permute"], 1),
        (["permute", "grouped", "permute", "depthwise", "permute", "grouped", "permute"], 1),
        (["grouped", "permute", "depthwise", "grouped"], 1),
        (["permute", "grouped", "permute", "dense", "permute", "grouped", "permute"], 0),
        (["permute", "depthwise", "permute", "depthwise", "permute", "grouped", "permute"], 0),
    ],
)
def test_what_is_left_of_a_chain(kinds: list[str], left: int) -> None:
    graph = Chain().then(*kinds).graph()
    folded = fold_permutations(graph)
    assert len(permutes(folded)) == left
    assert_same_outputs(graph, folded)


def test_the_one_permutation_left_stands_where_it_moves_fewest_values() -> None:
    chain = Chain().then("permute", "grouped", "permute", "depthwise", "permute", "grouped")
    graph = chain.graph()
    (left,) = permutes(fold_permutations(graph))
    assert _values(graph, left) == min(_values(graph, op) for op in permutes(graph)[1:])


def test_weights_scales_and_biases_move_together() -> None:
    graph = Chain().then("permute", "depthwise", "permute").graph()
    first, _, depthwise, *_ = graph.ops
    order = list(permutes(graph)[0].order)
    folded = fold_permutations(graph)
    assert [type(op) for op in folded.ops[:3]] == [Conv, DepthwiseConv, Conv]
    inner = folded.ops[1]
    by_scale = np.argsort(inner.weight_scales), np.argsort(depthwise.weight_scales)
    for name in ("bias", "weight_scales"):
        mine, theirs = getattr(inner, name), getattr(depthwise, name)
        np.testing.assert_array_equal(mine[by_scale[0]], theirs[by_scale[1]])
    np.testing.assert_array_equal(inner.taps[by_scale[0]], depthwise.taps[by_scale[1]])
    # Where the chain begins nothing but the order of the rows is new.
    rows = [int(np.flatnonzero(first.bias == value)[0]) for value in folded.ops[0].bias]
    assert sorted(rows) == list(range(8))
    np.testing.assert_array_equal(folded.ops[0].weights, first.weights[rows])
    assert order != list(range(8))


def test_grouped_weights_are_never_touched() -> None:
    for seed in SEEDS:
        graph = permuted_graph(seed)
        folded = {op.name: op for op in fold_permutations(graph).ops}
        for op in graph.ops:
            if isinstance(op, Conv) and op.groups > 1:
                np.testing.assert_array_equal(folded[op.name].weights, op.weights)


def summed(order_a: list[int], order_b: list[int]) -> IntegerGraph:
    """Grouped convolutions (channels that will not yield) whose permuted outputs are added."""
    builder = Chain().then("grouped")
    source = builder.newest
    branches = []
    for name, order in (("a", order_a), ("b", order_b)):
        grouped = builder.convolution(
            source, f"g{name}", channels=8, depthwise=False, groups=2, **SHARED
        )
        op = Permute(name=f"p{name}", input=grouped, output=name, order=tuple(order))
        quantization = builder.tensors[grouped].quantization
        branches.append(builder.emit(op, builder.real[grouped][:, :, order], quantization))
    add = Add(name="add", a="a", b="b", output="sum")
    builder.newest = builder.emit(add, builder.real["a"] + builder.real["b"])
    return builder.graph()


def test_an_addition_lets_through_what_both_its_inputs_agree_on() -> None:
    order, other = [3, 1, 4, 7, 5, 0, 2, 6], [1, 0, 2, 3, 4, 5, 7, 6]
    agreed, at_odds = summed(order, order), summed(order, other)
    assert not permutes(fold_permutations(agreed))
    assert len(permutes(fold_permutations(at_odds))) == 1
    for graph in (agreed, at_odds):
        assert_same_outputs(graph, fold_permutations(graph))


def test_a_permutation_right_before_the_evidence_keeps_the_evidences_name() -> None:
    graph = Chain().graph()
    head, mean = graph.ops[-2:]
    tensors = dict(graph.tensors)
    tensors["raw"] = replace(tensors["evidence"], name="raw")
    turn = Permute(name="turn", input="raw", output="evidence", order=(2, 0, 1))
    ops = (*graph.ops[:-2], replace(head, output="raw"), turn, mean)
    turned = IntegerGraph(tensors, ops, "input", graph.outputs)
    folded = fold_permutations(turned)
    assert not permutes(folded)
    assert folded.outputs == {"logits": "logits", "evidence": "evidence"}
    assert_same_outputs(turned, folded)
    x = adversarial_inputs(graph)
    np.testing.assert_array_equal(
        simulate(folded, x)["evidence"], simulate(graph, x)["evidence"][:, :, [2, 0, 1]]
    )


def test_an_input_handed_on_as_evidence_stays_an_operator() -> None:
    q = Quantization(0.5, 0)
    same = Permute(name="same", input="input", output="evidence", order=(0, 1))
    mean = random_graph(0).ops[-1]
    tensors = [Tensor("input", 5, 2, q), Tensor("evidence", 5, 2, q), Tensor("logits", 1, 2, q)]
    outputs = {"logits": "logits", "evidence": "evidence"}
    graph = IntegerGraph({t.name: t for t in tensors}, (same, mean), "input", outputs)
    assert fold_permutations(graph).ops == (same, mean)


def test_a_graph_without_permutations_stays_as_it_is() -> None:
    for seed in range(10):
        graph = random_graph(seed)
        folded = fold_permutations(graph)
        assert folded.tensors == graph.tensors
        for mine, theirs in zip(folded.ops, graph.ops, strict=True):
            if isinstance(theirs, Convolution):
                np.testing.assert_array_equal(mine.weights, theirs.weights)
            else:
                assert mine == theirs
