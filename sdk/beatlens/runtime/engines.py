"""What runs a bundle's network: a TFLite interpreter, or the integer simulator.

All engines give the same bits with the reference kernels (the default); the golden vectors of a
bundle check it: `bundle.verify(engine)`. Tensors are found by name and their scales compared with
those of the bundle when an engine is made.

Columns of evidence do not depend on where a window starts, so an engine takes inputs of any number
of columns. The interpreter's input is resized to it where the network allows; the SLICE of a
residual network has its length written in the file, and such a network is run in windows of that
length, with the same result.
"""

from __future__ import annotations

import importlib
import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError, SignalError
from beatlens.integer.graph import Quantization
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.contents import Contents
from beatlens.runtime.manifest import Manifest

Int8 = NDArray[np.int8]
Kernels = Literal["reference", "optimised", "xnnpack"]
EngineKind = Literal["auto", "litert", "tflite-runtime", "tensorflow", "simulator"]
StreamEngine = Literal["c", EngineKind]
"""What a stream takes by name: the firmware's C as well, which is more than a network's engine."""

MODULES: dict[str, str] = {
    "litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
"""Interpreters in order of preference; all three modules have the same interface."""
RESOLVERS: dict[str, str] = {
    "reference": "BUILTIN_REF",
    "optimised": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "xnnpack": "BUILTIN",
}
KEPT_LENGTHS = 12
"""Input lengths an engine keeps ready; a stream uses at most 8."""
INSTALL = "install one: pip install 'beatlens[litert]' (or 'beatlens[tflite]')"


class Engine(Protocol):
    """Runs one bundle's network."""

    @property
    def name(self) -> str:
        """What computes, for logs and figures."""
        ...

    def evidence(self, x: Int8) -> Int8:
        """Evidence int8 `[T, C]` of int8 samples `[N]`, `N` = `geometry.input_length(T)`.

        Raises SignalError if `x` is of another type or length.
        """
        ...

    def logits(self, x: Int8) -> Int8:
        """Logits int8 `[C]`, rounded as in the file, of int8 samples `[bundle.input_length]`.

        Raises SignalError if `x` is of another type or length.
        """
        ...


Made = TypeVar("Made")


class _ByLength:
    """The most recently used interpreters or graphs, by input length."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Any] = OrderedDict()

    def get(self, length: int, make: Callable[[int], Made]) -> Made:
        """The one for `length`, made if it is not kept."""
        if length not in self._kept:
            self._kept[length] = make(length)
            if len(self._kept) > KEPT_LENGTHS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(length)
        made: Made = self._kept[length]
        return made


class _CheckedEngine(ABC):
    """Checks inputs, so that the engines need not."""

    name: str

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._ready = _ByLength()

    def evidence(self, x: Int8) -> Int8:
        """See `Engine.evidence`."""
        _check_samples(x)
        geometry = self._manifest.geometry
        beyond = len(x) - geometry.receptive_field
        if beyond < 0 or beyond % geometry.stride:
            raise SignalError(
                f"network input has {len(x)} samples, expected {geometry.receptive_field} and a "
                f"multiple of {geometry.stride} (geometry.input_length(columns))"
            )
        return self._evidence(x, beyond // geometry.stride + 1)

    def logits(self, x: Int8) -> Int8:
        """See `Engine.logits`."""
        _check_samples(x)
        if len(x) != self._manifest.input_length:
            raise SignalError(
                f"network input has {len(x)} samples, expected {self._manifest.input_length}"
            )
        return self._logits(x)

    @abstractmethod
    def _evidence(self, x: Int8, columns: int) -> Int8: ...

    @abstractmethod
    def _logits(self, x: Int8) -> Int8: ...


class InterpreterEngine(_CheckedEngine):
    """A TFLite interpreter: LiteRT, tflite-runtime or the one inside TensorFlow.

    Args:
        bundle: what to run.
        kind: which interpreter.
        kernels: "reference" is exact; "optimised" and "xnnpack" are faster, and may differ by a
            few LSB (`bundle.verify` finds out).

    Raises:
        ModelError: the interpreter is not installed, does not accept the model, or finds other
            tensors than the bundle promises.
    """

    def __init__(self, bundle: Contents, kind: str, kernels: Kernels = "reference") -> None:
        super().__init__(bundle)
        self.name = f"{kind}, {kernels} kernels"
        self._module = _import_interpreter(kind)
        self._kernels = kernels
        # An interpreter follows every offset of a file unchecked. It gets the network that was read
        # and checked, written anew, so that nothing the reader does not look at reaches it.
        self._tflite = write_tflite(read_tflite(bundle.tflite))
        self._whole = self._interpreter(bundle.input_length)
        self._check_tensors()
        self._resizable = self._can_resize()
        if self._resizable:
            self._resized(bundle.geometry.input_length(2 * bundle.span_columns))

    def _evidence(self, x: Int8, columns: int) -> Int8:
        if columns == self._manifest.span_columns:
            return self._first_evidence(self._whole, x)
        if self._resizable:
            interpreter = self._ready.get(len(x), self._resized)
            return self._first_evidence(interpreter, x)
        return self._in_windows(x, columns)

    def _logits(self, x: Int8) -> Int8:
        return np.asarray(self._run(self._whole, x)["logits"][0])

    def _first_evidence(self, interpreter: Any, x: Int8) -> Int8:
        return np.asarray(self._run(interpreter, x)["evidence"][0, 0])

    def _in_windows(self, x: Int8, columns: int) -> Int8:
        """Run windows of the file's own length; the last is filled up with zeros."""
        span, length = self._manifest.span_columns, self._manifest.input_length
        stride = self._manifest.geometry.stride
        parts = []
        for first in range(0, columns, span):
            window = x[first * stride : first * stride + length]
            window = np.pad(window, (0, length - len(window)))
            parts.append(self._run(self._whole, window)["evidence"][0, 0, : columns - first])
        return np.concatenate(parts)

    def _run(self, interpreter: Any, x: Int8) -> dict[str, Int8]:
        try:
            interpreter.set_tensor(
                interpreter.get_input_details()[0]["index"], x[None, None, :, None]
            )
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self.name} failed to run the model: {error}") from error
        details = interpreter.get_output_details()
        return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in details}

    def _interpreter(self, length: int) -> Any:
        resolver = getattr(self._module.OpResolverType, RESOLVERS[self._kernels])
        try:
            with warnings.catch_warnings():
                # TensorFlow advises to use LiteRT instead, which is what "auto" does.
                warnings.simplefilter("ignore")
                interpreter = self._module.Interpreter(
                    model_content=self._tflite,
                    experimental_op_resolver_type=resolver,
                    num_threads=1,
                )
            inputs = interpreter.get_input_details()
            if len(inputs) == 1 and length != self._manifest.input_length:
                interpreter.resize_tensor_input(inputs[0]["index"], [1, 1, length, 1])
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError, TypeError) as error:
            raise ModelError(f"{self.name} does not accept the model: {error}") from error
        return interpreter

    def _resized(self, length: int) -> Any:
        """An interpreter for another length of input."""
        geometry = self._manifest.geometry
        wanted = (length - geometry.receptive_field) // geometry.stride + 1
        interpreter = self._interpreter(length)
        found = _columns(interpreter)
        if found != wanted:
            raise ModelError(
                f"model.tflite: {length} samples give {found} columns of evidence, expected "
                f"{wanted} from the geometry in bundle.json"
            )
        return interpreter

    def _can_resize(self) -> bool:
        """Whether the network takes other lengths than the file's; a SLICE does not."""
        span = self._manifest.span_columns
        try:
            longer = self._interpreter(self._manifest.geometry.input_length(2 * span))
        except ModelError:
            return False
        # The same number of columns: a SLICE cut the rest off again.
        return _columns(longer) != span

    def _check_tensors(self) -> None:
        manifest, classes = self._manifest, len(self._manifest.classes)
        wanted = {
            "input": [1, 1, manifest.input_length, 1],
            "evidence": [1, 1, manifest.span_columns, classes],
            "logits": [1, classes],
        }
        inputs = self._whole.get_input_details()
        outputs = {detail["name"]: detail for detail in self._whole.get_output_details()}
        if len(inputs) != 1 or set(outputs) != {"evidence", "logits"}:
            raise ModelError(
                f"model.tflite has {len(inputs)} inputs and the outputs {sorted(outputs)}, "
                "expected 1 input and the outputs 'evidence' and 'logits'"
            )
        for role, detail in {"input": inputs[0], **outputs}.items():
            shape = detail["shape"].tolist()
            if detail["dtype"] != np.int8 or shape != wanted[role]:
                raise ModelError(
                    f"model.tflite: tensor {role!r} is {np.dtype(detail['dtype'])} {shape}, "
                    f"expected int8 {wanted[role]} as bundle.json says"
                )
            parameters = detail["quantization_parameters"]
            found = (parameters["scales"].tolist(), parameters["zero_points"].tolist())
            expected = manifest.tensors[role]
            if found != ([expected.scale], [expected.zero_point]):
                raise ModelError(
                    f"model.tflite: tensor {role!r} has scales and zero points {found}, expected "
                    f"{expected} as in bundle.json"
                )


class SimulatorEngine(_CheckedEngine):
    """The integer simulator: numpy alone, and exact."""

    name = "simulator"

    def __init__(self, bundle: Contents) -> None:
        super().__init__(bundle)
        self._graph = read_tflite(bundle.tflite)

    def _evidence(self, x: Int8, columns: int) -> Int8:
        return np.asarray(self._run(x)["evidence"][0])

    def _logits(self, x: Int8) -> Int8:
        return np.asarray(self._run(x)["logits"][0])

    def _run(self, x: Int8) -> dict[str, Int8]:
        graph = self._ready.get(len(x), self._graph.with_input_length)
        return simulate(graph, x[None, :, None])


def make_engine(
    bundle: Contents, kind: EngineKind = "auto", kernels: Kernels = "reference"
) -> Engine:
    """Make the engine of a kind; "auto" takes the first interpreter that is installed.

    Raises ModelError if there is none (the message names what to install), or as
    `InterpreterEngine` does.
    """
    if kind not in get_args(EngineKind):
        raise ModelError(
            f"engine is {kind!r}, expected one of {', '.join(get_args(EngineKind))}, or, where a "
            "stream is made, 'c'"
        )
    if kernels not in RESOLVERS:
        raise ModelError(f"kernels are {kernels!r}, expected one of {', '.join(RESOLVERS)}")
    if kind == "simulator":
        return SimulatorEngine(bundle)
    if kind != "auto":
        return InterpreterEngine(bundle, kind, kernels)
    for installed in MODULES:
        try:
            _import_interpreter(installed)
        except ModelError:
            continue
        return InterpreterEngine(bundle, installed, kernels)
    raise ModelError(
        f"no TFLite interpreter is installed (looked for {', '.join(MODULES)}); {INSTALL}"
    )


def _columns(interpreter: Any) -> int:
    """Columns of evidence an interpreter gives."""
    shapes = {d["name"]: d["shape"].tolist() for d in interpreter.get_output_details()}
    return int(shapes["evidence"][2])


def _import_interpreter(kind: str) -> Any:
    try:
        return importlib.import_module(MODULES[kind])
    except ImportError as error:
        raise ModelError(f"{kind} is not installed or not usable ({error}); {INSTALL}") from error


def _check_samples(x: Int8) -> None:
    if not isinstance(x, np.ndarray) or x.dtype != np.int8 or x.ndim != 1:
        found = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
        raise SignalError(f"network input is {found}, expected an int8 array [N]")


def dequantize(values: NDArray[np.int8], quantization: Quantization) -> NDArray[np.float32]:
    """Int8 values as the real numbers they stand for, float32."""
    steps = values.astype(np.float32) - np.float32(quantization.zero_point)
    return steps * np.float32(quantization.scale)
