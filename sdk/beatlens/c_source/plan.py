"""An integer graph as the C engine runs it: layers, and buffers of columns between them.

Each layer works on its input as soon as it is known, so a buffer holds the columns that its reader
still has to see, and whole activations are never kept. How full a buffer gets is found by running
the schedule itself on numbers of columns.

A crop becomes columns that the next buffer drops at the beginning. A stream has no end, so nothing
is cropped there: an ADD waits for its other branch. With convolutions padded as TensorFlow's "same"
a network sees windows: zero points are put before and behind each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

from beatlens.c_source.kernels import Code, KernelSet, check_kernels, choose_code
from beatlens.errors import ModelError
from beatlens.integer.graph import (
    Add,
    Convolution,
    Crop,
    IntegerGraph,
    Mean,
    Op,
    Permute,
    padding_columns,
)

FILL_BYTES = 4
MAX_STATE = 1 << 16
MAX_WINDOW = 1 << 16
"""Columns: eight minutes at 128 Hz."""
MAX_STEP = 255
"""Of strides, and of padding on one side: bytes of a layer's and a buffer's constants."""
COLUMNS_AT_ONCE: Mapping[KernelSet, int] = {"portable": 4, "long": 5, "dsp": 4, "mve": 4}
"""Columns of evidence that a chunk of input makes: as many as kernels take at a time."""
SMALL_STATE = 3072
"""Bytes up to which a state may become larger by twice the columns at once, which is faster."""


@dataclass(frozen=True)
class Buffer:
    """Columns that wait for one reader.

    Args:
        tensor: its name.
        channels: of a column.
        zero_point: of the tensor.
        skip: columns that are dropped at the beginning.
        pad: columns of `zero_point` before and behind a window.
        columns: that fit.
        offset: bytes from the start of the data.
    """

    tensor: str
    channels: int
    zero_point: int
    skip: int = 0
    pad: tuple[int, int] = (0, 0)
    columns: int = 0
    offset: int = 0


@dataclass(frozen=True)
class Layer:
    """An operator.

    Args:
        op: the operator.
        code: how it is run.
        input: first of the buffers it reads.
        writes: buffers it writes.
    """

    op: Convolution | Add | Permute
    code: Code
    input: int
    writes: tuple[int, ...]

    @property
    def taps(self) -> int:
        """Columns that it needs for the first one it makes."""
        return self.op.kernel if isinstance(self.op, Convolution) else 1

    @property
    def stride(self) -> int:
        """Columns that it is done with for each one it makes."""
        return self.op.stride if isinstance(self.op, Convolution) else 1

    @property
    def reads(self) -> range:
        """Its buffers."""
        return range(self.input, self.input + len(self.op.inputs))


@dataclass(frozen=True)
class Plan:
    """What the C engine runs.

    Args:
        graph: the network.
        layers: in order.
        buffers: the last one is where columns of evidence come out.
        input_writes: buffers that get the input.
        stride: input columns per column of evidence.
        chunk: input columns worked on at once.
        window: input columns of a padded network, 0 of a streaming one.
    """

    graph: IntegerGraph
    layers: tuple[Layer, ...]
    buffers: tuple[Buffer, ...]
    input_writes: tuple[int, ...]
    stride: int
    chunk: int
    window: int

    @property
    def scratch_bytes(self) -> int:
        """Bytes that kernels need while they run, one after the other."""
        return max(layer.code.scratch_bytes for layer in self.layers)

    @property
    def state_bytes(self) -> int:
        """Bytes of memory the engine needs for it, a multiple of 4."""
        data = self.buffers[-1].offset + self.buffers[-1].columns * self.buffers[-1].channels
        return FILL_BYTES * len(self.buffers) + -(-data // 4) * 4 + self.scratch_bytes


def lay_out(graph: IntegerGraph, chunk: int | None = None, kernels: KernelSet = "portable") -> Plan:
    """Lay a graph out for the C engine.

    Args:
        graph: the network; its length only matters where it is padded.
        chunk: input columns worked on at once; None takes as many as make four of evidence (five
            for long products), or twice that where the state stays small.
        kernels: those the core is fastest with; any core runs them all.

    Raises:
        ModelError: the engine cannot run the graph; the message names operator and reason.
        RecipeError: `kernels` is not one of `KernelSet`.
    """
    check_kernels(kernels)
    if chunk is not None and chunk < 1:
        raise ModelError(f"chunk is {chunk} input columns, expected at least 1")
    ops = _operators(graph)
    length = graph.tensors[graph.input].length
    padded = any(isinstance(op, Convolution) and op.padding == "same" for op in ops)
    if padded and length > MAX_WINDOW:
        raise ModelError(
            f"input {graph.input!r}: a padded network's window is {length} columns, expected at "
            f"most {MAX_WINDOW}"
        )
    buffers, readers = _wired(graph, ops, padded)
    _check_read(graph, ops, readers)
    firsts = accumulate((len(op.inputs) for op in ops), initial=0)
    layers = tuple(
        Layer(op, choose_code(op, graph, kernels), first, tuple(readers[op.output]))
        for op, first in zip(ops, firsts, strict=False)
    )
    _check_steps(layers, buffers)
    stride = _stride(graph, layers, buffers)
    least = COLUMNS_AT_ONCE[kernels] * stride
    plan = Plan(
        graph,
        layers,
        tuple(buffers),
        tuple(readers[graph.input]),
        stride,
        chunk or least,
        length if padded else 0,
    )
    if chunk is None:
        faster = _with_room(replace(plan, chunk=2 * least))
        if faster.state_bytes <= SMALL_STATE:
            return _checked(faster)
    return _checked(_with_room(plan))


def _wired(
    graph: IntegerGraph, ops: list[Convolution | Add | Permute], padded: bool
) -> tuple[list[Buffer], dict[str, list[int]]]:
    """Buffers, and by the name of a tensor the numbers of the buffers that get it.

    There is one for each input of each operator, in the order of operators and inputs, and a last
    one for the evidence.
    """
    sources = {op.output: op for op in graph.ops}
    buffers: list[Buffer] = []
    readers: dict[str, list[int]] = {}

    def add(op: Convolution | Add | Permute | None, name: str, skip: int) -> None:
        readers.setdefault(name, []).append(len(buffers))
        buffers.append(_buffer(graph, op, name, skip))

    for op in ops:
        for name in op.inputs:
            add(op, *_uncropped(op, name, sources, padded))
    add(None, graph.outputs["evidence"], 0)
    return buffers, readers


def _stride(graph: IntegerGraph, layers: tuple[Layer, ...], buffers: list[Buffer]) -> int:
    """Input columns per column of evidence."""
    strides = {graph.input: 1}
    for layer in layers:
        strides[layer.op.output] = strides[buffers[layer.input].tensor] * layer.stride
    return strides[graph.outputs["evidence"]]


def _operators(graph: IntegerGraph) -> list[Convolution | Add | Permute]:
    """The operators that become layers: all but the mean and crops."""
    found: list[Convolution | Add | Permute] = []
    for op in graph.ops:
        match op:
            case Mean():
                if op.input != graph.outputs["evidence"]:
                    raise ModelError(
                        f"operator {op.name!r}: MEAN of {op.input!r}, expected of the evidence "
                        f"{graph.outputs['evidence']!r}: the engine sums its columns"
                    )
            case Crop():
                pass
            case _:
                found.append(op)
    return found


def _uncropped(op: Op, name: str, sources: dict[str, Op], padded: bool) -> tuple[str, int]:
    """The tensor that an input is a crop of, and how many columns are cropped at its beginning."""
    skip = 0
    while isinstance(crop := sources.get(name), Crop):
        if padded and not isinstance(op, Add):
            raise ModelError(
                f"operator {op.name!r}: reads {name!r}, which is a SLICE, in a padded network; "
                "there the engine can crop the inputs of an ADD only"
            )
        name, skip = crop.input, skip + crop.start
    return name, skip


def _buffer(graph: IntegerGraph, op: Op | None, name: str, skip: int) -> Buffer:
    tensor = graph.tensors[name]
    pad = padding_columns(op, tensor.length) if isinstance(op, Convolution) else (0, 0)
    return Buffer(name, tensor.channels, tensor.quantization.zero_point, skip, pad)


def _check_read(
    graph: IntegerGraph, ops: list[Convolution | Add | Permute], readers: dict[str, list[int]]
) -> None:
    for name in (graph.input, *(op.output for op in ops)):
        if name not in readers:
            raise ModelError(f"tensor {name!r}: nothing reads it, and it is not the evidence")


def _check_steps(layers: tuple[Layer, ...], buffers: list[Buffer]) -> None:
    for layer in layers:
        most = max(layer.stride, *(side for b in layer.reads for side in buffers[b].pad))
        if most > MAX_STEP:
            raise ModelError(
                f"operator {layer.op.name!r}: stride or padding is {most} columns, expected at "
                f"most {MAX_STEP}"
            )


def _with_room(plan: Plan) -> Plan:
    """The plan with its buffers as large as they get, one behind the other."""
    columns = _fullest(plan)
    buffers, offset = [], 0
    for buffer, most in zip(plan.buffers, columns, strict=True):
        buffers.append(replace(buffer, columns=most, offset=offset))
        offset += most * buffer.channels
    return replace(plan, buffers=tuple(buffers))


def _checked(done: Plan) -> Plan:
    if done.state_bytes >= MAX_STATE:
        raise ModelError(
            f"the state takes {done.state_bytes} bytes, expected below {MAX_STATE}; take a "
            "smaller chunk or a narrower network"
        )
    return done


class _Counts:
    """The engine's schedule on counts of columns."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.have = [buffer.pad[0] for buffer in plan.buffers]
        self.skip = [buffer.skip for buffer in plan.buffers]
        self.written = [buffer.pad[0] for buffer in plan.buffers]
        self.fullest = list(self.have)

    def push(self) -> None:
        """One column of input."""
        for buffer in self.plan.input_writes:
            self._add(buffer, 1)
        for layer in self.plan.layers:
            self._run(layer)
        self._drop(len(self.have) - 1, self.have[-1])

    def end(self) -> None:
        """The end of a window."""
        for layer in self.plan.layers:
            for buffer in layer.reads:
                self._add(buffer, self.plan.buffers[buffer].pad[1])
            self._run(layer)

    def _run(self, layer: Layer) -> None:
        have = min(self.have[buffer] for buffer in layer.reads)
        count = 0 if have < layer.taps else (have - layer.taps) // layer.stride + 1
        for buffer in layer.writes:
            self._add(buffer, count)
        for buffer in layer.reads:
            self._drop(buffer, count * layer.stride)

    def _add(self, buffer: int, count: int) -> None:
        self.written[buffer] += count
        self.have[buffer] += count
        self.fullest[buffer] = max(self.fullest[buffer], self.have[buffer])
        skip, self.skip[buffer] = self.skip[buffer], 0
        self._drop(buffer, skip)

    def _drop(self, buffer: int, count: int) -> None:
        gone = min(count, self.have[buffer])
        self.have[buffer] -= gone
        self.skip[buffer] += count - gone


def _fullest(plan: Plan) -> list[int]:
    """How many columns each buffer holds at most, however the input is cut into pushes.

    What is left after a push only depends on how much was pushed in all, so it is enough to push
    column by column, and to add what a whole chunk would bring at each point. A stream repeats
    itself every `stride` columns once its first column of evidence came out.
    """
    counts = _Counts(plan)
    left, written = [list(counts.have)], [list(counts.written)]

    def push(times: int) -> None:
        for _ in range(times):
            counts.push()
            left.append(list(counts.have))
            written.append(list(counts.written))

    if plan.window:
        push(plan.window)
    else:
        while counts.written[-1] == 0:
            push(1)
        push(2 * plan.stride + plan.chunk)
    most = [0] * len(plan.buffers)
    for at, waiting in enumerate(left):
        then = written[min(at + plan.chunk, len(written) - 1)]
        for buffer, have in enumerate(waiting):
            most[buffer] = max(most[buffer], have + then[buffer] - written[at][buffer])
    if plan.window:
        counts.end()
        most = [max(pair) for pair in zip(most, counts.fullest, strict=True)]
    return most
