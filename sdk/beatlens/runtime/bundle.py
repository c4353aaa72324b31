"""A bundle: everything that leaves the SDK with a model, in one folder.

    bundle.json          labels, geometry, scales, rule, figures (see runtime.manifest)
    model.tflite         the int8 network
    weights.blpk         its weights, biases and scales in the packed format (see integer.packing)
    golden_*.bin         inputs and the exact int8 outputs for them, row-major int8
    SHA256SUMS           of all of them

The golden outputs come from the integer simulator, which replays them when a bundle is opened; an
engine, on whatever device, that gives other bytes for the golden inputs does not run this model.

    bundle = Bundle.load("beats")  # a released model; or a folder
    bundle.verify(bundle.engine())
    stream = bundle.stream(rate_hz=250, counts_per_mv=400)
    for finding in stream.push(samples):
        print(finding.time_s, finding.predicted)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.geometry import Geometry
from beatlens.integer.graph import Add, Convolution, Crop, IntegerGraph, Mean
from beatlens.integer.packing import pack_model
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle_checks import (
    check_decision,
    check_golden,
    check_packed,
    decision_sha256,
)
from beatlens.runtime.contents import Contents, Golden, Int8
from beatlens.runtime.engines import Engine, EngineKind, Kernels, StreamEngine, make_engine
from beatlens.runtime.fields import parse
from beatlens.runtime.finding import Finding
from beatlens.runtime.folder import GOLDEN, MANIFEST, MODEL, PACKED, read_folder, write_folder
from beatlens.runtime.kind import Kind
from beatlens.runtime.kinds import find_kind
from beatlens.runtime.manifest import TENSORS, Manifest
from beatlens.runtime.manifest_file import read_manifest, write_manifest
from beatlens.runtime.quality import Limits
from beatlens.runtime.released import find_bundle
from beatlens.runtime.stream import Piece, Stream, explain
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.version import __version__


class Bundle(Contents):
    """A model ready to run; make one with `Bundle.load` or `Bundle.create`.

    See `Contents` and `Manifest` for what it holds.

    >>> bundle = Bundle.load("beats")  # A released model, or a folder.
    >>> bundle.kind_name, bundle.classes
    ('beats', ('n', 's', 'v', 'f'))
    """

    @classmethod
    def load(cls, folder: Path | str) -> Bundle:
        """Read and check a bundle, by its folder or, of a released model, by its name: `"beats"`.

        See `runtime.bundle_checks` for what the checks find.

        Raises:
            ModelError: a file is missing, damaged or not what was written; a field of
                `bundle.json` is wrong; it, `weights.blpk` or the golden vectors do not agree with
                `model.tflite`; or what decides was changed after the bundle was made. The message
                names file and field.
        """
        return cls._read(read_folder(find_bundle(folder)))

    @classmethod
    def create(
        cls,
        folder: Path | str,
        *,
        name: str,
        kind: str,
        classes: Mapping[str, str],
        rule: Any,
        tflite: bytes,
        golden_inputs: Int8,
        hop_columns: int | None = None,
        measured: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        replace: bool = False,
    ) -> Bundle:
        """Write a bundle, whole or not at all, and return it.

        Geometry, span and scales are taken from the network itself.

        Args:
            folder: a new folder for it.
            name: the model's name; letters, digits and `. _ -`.
            kind: name of the kind of span it decides on, see `runtime.kinds`.
            classes: long name by short name, in the order of the network's outputs.
            rule: how it decides, an object of the kind (`tasks.windows.rule.build_rule`, ...).
            tflite: the int8 network, as `integer.tflite_write` writes it.
            golden_inputs: int8 `[n, N]`, 1 to 64 inputs of the network's own length; their
                outputs are computed here.
            hop_columns: columns between decisions of a stream; 1 s if None.
            measured: fidelity and accuracy, each with the data it was measured on.
            versions: of what made the model; beatlens's and numpy's are added.
            replace: remove a bundle that is already there.

        Raises:
            ModelError: the network does not stream (it is padded, for example), an argument does
                not fit it, or the folder is in use.
        """
        graph = read_tflite(tflite)
        geometry = derive_geometry(graph)
        evidence = graph.tensors[graph.outputs["evidence"]]
        if len(classes) != evidence.channels:
            raise ModelError(
                f"{len(classes)} classes are named, the network has {evidence.channels}"
            )
        golden = _make_golden(graph, golden_inputs)
        packed = pack_model(graph)
        manifest = Manifest(
            name=name,
            kind_name=find_kind(kind).name,
            titles=dict(classes),
            rule=rule,
            geometry=geometry,
            span_columns=evidence.length,
            hop_columns=hop_columns
            or min(max(MODEL_RATE_HZ // geometry.stride, 1), evidence.length),
            tensors={role: tensor.quantization for role, tensor in _roles(graph).items()},
            packed_bytes=len(packed),
            golden_cases=len(golden.inputs),
            measured=dict(measured or {}),
            versions={**(versions or {}), "beatlens": __version__, "numpy": np.__version__},
        )
        files = {MODEL: bytes(tflite), PACKED: packed}
        files |= {file: getattr(golden, key).tobytes() for key, file in GOLDEN.items()}
        files[MANIFEST] = sign_manifest(manifest, files)
        bundle = cls._read(files)
        write_folder(Path(folder), files, replace=replace)
        return bundle

    @classmethod
    def _read(cls, files: Mapping[str, bytes]) -> Bundle:
        values = read_manifest(files[MANIFEST])
        check_decision(parse(MANIFEST, files[MANIFEST]), files)
        manifest = Manifest(**values)
        cases, classes = manifest.golden_cases, len(manifest.classes)
        shapes = {
            "inputs": (cases, manifest.input_length),
            "evidence": (cases, manifest.span_columns, classes),
            "logits": (cases, classes),
        }
        golden = {key: _int8(GOLDEN[key], files[GOLDEN[key]], shapes[key]) for key in GOLDEN}
        bundle = cls(**values, tflite=files[MODEL], packed=files[PACKED], golden=Golden(**golden))
        graph = read_tflite(bundle.tflite)
        _check_graph(bundle, graph)
        check_packed(bundle, graph)
        check_golden(bundle, graph)
        return bundle

    def engine(self, kind: EngineKind = "auto", kernels: Kernels = "reference") -> Engine:
        """An engine for this bundle; "auto" takes the first interpreter that is installed.

        Raises ModelError if there is none, or it does not accept the model.
        """
        return make_engine(self, kind, kernels)

    @property
    def kind(self) -> Kind:
        """The kind of span the model decides on."""
        return find_kind(self.kind_name)

    @property
    def decides_on(self) -> str:
        """What the model decides on, in words: "beats", "spans of 10 s"."""
        return self.kind.describe(self)

    def stream(
        self,
        rate_hz: int,
        counts_per_mv: float | None = None,
        *,
        rails: tuple[float, float] | None = None,
        hop_s: float | None = None,
        engine: Engine | StreamEngine | None = None,
        limits: Limits | None = None,
    ) -> Stream:
        """A stream of one lead; see `Stream` for the arguments and errors."""
        return Stream(
            self, rate_hz, counts_per_mv, rails=rails, hop_s=hop_s, engine=engine, limits=limits
        )

    def explain(
        self,
        recording: NDArray[Any] | Iterator[Piece],
        rate_hz: int,
        counts_per_mv: float | None = None,
        *,
        missing: NDArray[np.bool_] | None = None,
        rails: tuple[float, float] | None = None,
        hop_s: float | None = None,
        engine: Engine | StreamEngine | None = None,
        limits: Limits | None = None,
    ) -> Iterator[Finding]:
        """Findings on a whole recording, one after the other.

        Args:
            recording: samples `[n]`, or an iterator of pieces; see `runtime.stream.explain`.
            rate_hz, counts_per_mv, rails, hop_s, engine, limits: as for `Stream`.
            missing: of samples, bool `[n]`, true for those that are not there.

        Raises:
            SignalError, RecipeError, ModelError: as `runtime.stream.explain`.
        """
        return explain(
            self, recording, rate_hz, counts_per_mv, missing=missing, rails=rails, hop_s=hop_s,
            engine=engine, limits=limits,
        )  # fmt: skip

    def verify(self, engine: Engine) -> None:
        """Replay the golden vectors; every bit must be as recorded.

        Evidence is also asked for in pieces of one hop, the way a stream does. Raises ModelError
        that gives how far the engine is off.
        """
        hop = min(self.hop_columns, self.span_columns)
        short = self.geometry.input_length(hop)
        for case, x in enumerate(self.golden.inputs):
            expected = self.golden.evidence[case]
            for what, found, wanted in (
                ("evidence", engine.evidence(x), expected),
                ("evidence of one hop", engine.evidence(x[:short]), expected[:hop]),
                ("logits", engine.logits(x), self.golden.logits[case]),
            ):
                _check_equal(f"{engine.name}: {what} of golden vector {case}", found, wanted)


def sign_manifest(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """The bytes of `bundle.json`, with the digest of all that decides.

    Args:
        manifest: what it holds; its digest is made anew.
        files: at least `model.tflite` and the golden vectors, by name.
    """
    unsigned = write_manifest(replace_fields(manifest, decision_sha256=None))
    digest = decision_sha256(parse(MANIFEST, unsigned), files)
    return write_manifest(replace_fields(manifest, decision_sha256=digest))


def derive_geometry(graph: IntegerGraph) -> Geometry:
    """Stride and receptive field of a graph's evidence, derived from its operators.

    Raises ModelError if a convolution is padded or the graph's first column does not begin with
    the first sample: such a network cannot be streamed exactly.
    """
    reach = {graph.input: (0, 1, 1)}  # first sample seen, one past the last, step
    for op in graph.ops:
        first, last, step = reach[op.inputs[0]]
        match op:
            case Convolution():
                if op.padding != "valid":
                    raise ModelError(
                        f"model.tflite: operator {op.name!r} has padding {op.padding!r}, expected "
                        "'valid': columns of a padded network depend on where a window starts"
                    )
                last += (op.kernel - 1) * step
                step *= op.stride
            case Crop():
                first, last = first + op.start * step, last + op.start * step
            case Add():
                other = reach[op.b]
                if other[2] != step:
                    raise ModelError(f"model.tflite: operator {op.name!r} adds unequal strides")
                first, last = min(first, other[0]), max(last, other[1])
            case Mean():
                continue
        reach[op.output] = (first, last, step)
    first, last, step = reach[graph.outputs["evidence"]]
    geometry = Geometry(step, last - first)
    length = graph.tensors[graph.input].length
    wanted = geometry.input_length(graph.tensors[graph.outputs["evidence"]].length)
    if first or wanted != length:
        raise ModelError(
            f"model.tflite: evidence begins at sample {first} and needs {wanted} samples, expected "
            f"sample 0 and the {length} samples of the input"
        )
    return geometry


def _roles(graph: IntegerGraph) -> dict[str, Any]:
    names = {"input": graph.input, **graph.outputs}
    return {role: graph.tensors[names[role]] for role in TENSORS}


def _check_graph(manifest: Manifest, graph: IntegerGraph) -> None:
    """Does `bundle.json` describe this network?"""
    classes = len(manifest.classes)
    described = {
        "input": (manifest.input_length, 1),
        "evidence": (manifest.span_columns, classes),
        "logits": (1, classes),
    }
    for role, tensor in _roles(graph).items():
        if (tensor.length, tensor.channels) != described[role]:
            _disagree(f"size of {role!r}", described[role], (tensor.length, tensor.channels))
        if tensor.quantization != manifest.tensors[role]:
            _disagree(f"tensors.{role}", manifest.tensors[role], tensor.quantization)
    if derive_geometry(graph) != manifest.geometry:
        _disagree("geometry", manifest.geometry, derive_geometry(graph))


def _disagree(field: str, described: object, found: object) -> NoReturn:
    raise ModelError(
        f"{MANIFEST}: {field} is {described}, expected {found} as in {MODEL}; "
        "the files are not of one model, get the bundle again"
    )


def _make_golden(graph: IntegerGraph, inputs: Int8) -> Golden:
    length = graph.tensors[graph.input].length
    inputs = np.asarray(inputs)
    if inputs.dtype != np.int8 or inputs.ndim != 2 or inputs.shape[1] != length or not len(inputs):
        raise ModelError(
            f"golden inputs are {inputs.dtype} {inputs.shape}, expected int8 (n, {length}), n >= 1"
        )
    outputs = simulate(graph, np.ascontiguousarray(inputs)[:, :, None])
    return Golden(inputs, outputs["evidence"], outputs["logits"])


def _int8(file: str, data: bytes, shape: tuple[int, ...]) -> Int8:
    wanted = int(np.prod(shape, dtype=np.int64))
    if len(data) != wanted:
        raise ModelError(
            f"{file}: has {len(data)} bytes, expected {wanted} for int8 {list(shape)} "
            f"as {MANIFEST} says"
        )
    return np.frombuffer(data, np.int8).reshape(shape)


def _check_equal(what: str, found: Int8, wanted: Int8) -> None:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise ModelError(
            f"{what} is {found.dtype} {found.shape}, expected {wanted.dtype} {wanted.shape}"
        )
    off = np.abs(found.astype(int) - wanted.astype(int))
    if off.any():
        raise ModelError(
            f"{what} differs in {np.count_nonzero(off)} of {off.size} values, by up to "
            f"{off.max()} LSB, expected none; use kernels='reference'"
        )
