"""Fold channel permutations into the weights of neighbouring operators, so that few remain to run.

The order of a tensor's channels matters only to the operators that read and write it. A convolution
over all channels works with any order: its weights are permuted accordingly. Depthwise convolutions
and crops keep the order of their input, the two inputs of an addition need the same order, and a
grouped convolution, the network's input and its outputs need the order they have. So tensors form
sets that share one order, which permutations connect; all tensors with a fixed order are one set.
The permutations of a spanning tree of these sets can be removed. The tree is grown from the
permutation that moves most values to the one that moves fewest (Kruskal's greedy algorithm). One
permutation remains where two neighbours both need their own order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from beatlens.integer.graph import IntegerGraph
from beatlens.integer.ops import Add, Conv, Crop, DepthwiseConv, Mean, Op, Permute

Order = NDArray[np.intp]


def fold_permutations(graph: IntegerGraph) -> IntegerGraph:
    """Return the same network, bit for bit, with as few permutations as possible.

    Neighbouring permutations are joined, those beside convolutions over all channels are folded
    into their weights, and identities are dropped. Multiply-accumulates do not change.

    >>> from beatlens.integer.graph import Quantization, Tensor
    >>> q = Quantization(scale=0.5, zero_point=0)
    >>> conv = Conv(name="conv", input="swapped", output="evidence",
    ...             weights=np.array([[[1, 2]]], np.int8), weight_scales=np.ones(1, np.float32),
    ...             bias=np.zeros(1, np.int32))
    >>> swap = Permute(name="swap", input="input", output="swapped", order=(1, 0))
    >>> mean = Mean(name="mean", input="evidence", output="logits")
    >>> tensors = [Tensor("input", 8, 2, q), Tensor("swapped", 8, 2, q),
    ...            Tensor("evidence", 8, 1, q), Tensor("logits", 1, 1, q)]
    >>> graph = IntegerGraph({t.name: t for t in tensors}, (swap, conv, mean), "input",
    ...                      {"logits": "logits", "evidence": "evidence"})
    >>> folded = fold_permutations(graph)
    >>> folded.operator_names, folded.ops[0].weights.tolist()
    (['CONV_2D', 'MEAN'], [[[2, 1]]])
    """
    orders = _Orders(graph)
    permutes = [op for op in graph.ops if isinstance(op, Permute)]
    for op in sorted(permutes, key=lambda op: -_moved(graph, op)):
        orders.absorb(op)
    return _without_identities(graph, [_reordered(op, orders) for op in graph.ops])


def _moved(graph: IntegerGraph, op: Permute) -> int:
    """Number of values that a permutation moves."""
    tensor = graph.tensors[op.output]
    return tensor.length * tensor.channels


class _Orders:
    """The new order of every tensor: new channel `i` is old channel `of[name][i]`.

    Tensors whose orders depend on each other are in one set; the orders in the set of the graph's
    input are fixed.
    """

    def __init__(self, graph: IntegerGraph) -> None:
        self.of = {name: np.arange(t.channels) for name, t in graph.tensors.items()}
        self.sets = {name: {name} for name in graph.tensors}
        self.input = graph.input
        for op in graph.ops:
            for a, b in _tied(op, graph.input):
                self._join(a, b)
        for name in graph.outputs.values():
            self._join(graph.input, name)

    def absorb(self, op: Permute) -> None:
        """Choose orders that make this permutation the identity, if one is not fixed yet."""
        source, result = self.sets[op.input], self.sets[op.output]
        if source is result:
            return
        order = np.array(op.order)
        if self.input in source:
            wanted = np.argsort(order)[self.of[op.input]]
            self._reorder(result, np.argsort(self.of[op.output])[wanted])
        else:
            wanted = order[self.of[op.output]]
            self._reorder(source, np.argsort(self.of[op.input])[wanted])
        self._join(op.input, op.output)

    def remaining(self, op: Permute) -> Order:
        """The permutation that remains between the new orders of its input and output."""
        order: Order = np.argsort(self.of[op.input])[np.array(op.order)[self.of[op.output]]]
        return order

    def _reorder(self, names: set[str], change: Order) -> None:
        # All tensors of a free set have the same number of channels; absorbed permutations stay
        # identities.
        for name in names:
            self.of[name] = self.of[name][change]

    def _join(self, a: str, b: str) -> None:
        joined = self.sets[a] | self.sets[b]
        for name in joined:
            self.sets[name] = joined


def _tied(op: Op, fixed: str) -> Iterator[tuple[str, str]]:
    """Pairs of tensors that an operator needs in one order; `fixed` is the set of fixed orders."""
    match op:
        case Conv():
            if op.groups > 1:
                yield from ((fixed, op.input), (fixed, op.output))
        case DepthwiseConv() | Crop() | Mean():
            yield op.input, op.output
        case Add():
            yield from ((op.a, op.b), (op.a, op.output))
        case _:
            return


def _reordered(op: Op, orders: _Orders) -> Op:
    """An operator between tensors in their new orders."""
    match op:
        case Conv() if op.groups == 1:
            rows, columns = orders.of[op.output], orders.of[op.input]
            weights = op.weights[rows][:, :, columns]
            return replace(
                op, weights=weights, weight_scales=op.weight_scales[rows], bias=op.bias[rows]
            )
        case DepthwiseConv():
            rows = orders.of[op.output]
            weights = op.weights[:, rows]
            return replace(
                op, weights=weights, weight_scales=op.weight_scales[rows], bias=op.bias[rows]
            )
        case Permute():
            return replace(op, order=tuple(orders.remaining(op).tolist()))
        case _:
            return op


def _without_identities(graph: IntegerGraph, ops: list[Op]) -> IntegerGraph:
    """Drop permutations that change nothing; their two tensors become one."""
    kept_names = {graph.input, *graph.outputs.values()}
    new_names = {name: name for name in graph.tensors}
    kept: list[Op] = []
    for op in ops:
        ends = {new_names[name] for name in (*op.inputs, op.output)}
        identity = isinstance(op, Permute) and op.order == tuple(range(len(op.order)))
        if not identity or ends <= kept_names:
            kept.append(op)
            continue
        one = next((name for name in ends if name in kept_names), new_names[op.inputs[0]])
        new_names = {name: one if at in ends else at for name, at in new_names.items()}
    tensors = {name: t for name, t in graph.tensors.items() if new_names[name] == name}
    return IntegerGraph(
        tensors, tuple(_renamed(op, new_names) for op in kept), graph.input, graph.outputs
    )


def _renamed(op: Op, new_names: dict[str, str]) -> Op:
    output = new_names[op.output]
    if isinstance(op, Add):
        return replace(op, a=new_names[op.a], b=new_names[op.b], output=output)
    return replace(op, input=new_names[op.input], output=output)
