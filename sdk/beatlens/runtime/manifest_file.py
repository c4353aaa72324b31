"""Reading and writing `bundle.json`: format 3, and format 2 by `format2`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from beatlens.errors import ModelError
from beatlens.geometry import Geometry
from beatlens.integer.graph import Quantization
from beatlens.runtime.fields import Fields, parse
from beatlens.runtime.folder import MANIFEST, MAX_FILE
from beatlens.runtime.format2 import from_format_2
from beatlens.runtime.kinds import find_kind
from beatlens.runtime.manifest import TENSORS, Manifest
from beatlens.signals.frontend import LSBS_MV, MODEL_RATE_HZ

FORMAT = 3
MAX_CLASSES, MAX_CASES = 64, 64
MAX_INPUT = 1 << 20
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_KIND = r"[a-z][a-z0-9_]{0,31}"
_CLASS = r"[a-z][a-z0-9_]{0,31}"
_TITLE = r"[^\x00-\x1f\x7f]{1,100}"


def write_manifest(manifest: Manifest) -> bytes:
    """The bytes of `bundle.json`.

    Raises ModelError where `measured` or `versions` hold what JSON has no form for.
    """
    values = {
        "format": FORMAT,
        "name": manifest.name,
        "kind": manifest.kind_name,
        "classes": [{"name": key, "title": title} for key, title in manifest.titles.items()],
        "front_end": {"model_rate_hz": MODEL_RATE_HZ, "lsb_mv": manifest.lsb_mv},
        "geometry": {
            "stride": manifest.geometry.stride,
            "receptive_field": manifest.geometry.receptive_field,
        },
        "span_columns": manifest.span_columns,
        "hop_columns": manifest.hop_columns,
        "tensors": {
            role: {"scale": q.scale, "zero_point": q.zero_point}
            for role, q in manifest.tensors.items()
        },
        "rule": find_kind(manifest.kind_name).write_rule(manifest.rule, manifest.classes),
        "packed_bytes": manifest.packed_bytes,
        "golden_cases": manifest.golden_cases,
        **(
            {}
            if manifest.decision_sha256 is None
            else {"decision_sha256": manifest.decision_sha256}
        ),
        "measured": manifest.measured,
        "versions": manifest.versions,
    }
    try:
        text = json.dumps(values, indent=1, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{MANIFEST}: cannot be written ({error}); `measured` and `versions` may hold "
            "finite numbers, text, lists and dicts with text keys"
        ) from error
    return f"{text}\n".encode()


def read_manifest(data: bytes) -> dict[str, Any]:
    """Read `bundle.json` into the arguments of `Manifest`.

    Raises ModelError naming the field if anything is missing, unknown, out of range, or does not
    fit this version's front end.
    """
    top = Fields(MANIFEST, from_format_2(parse(MANIFEST, data)))
    top.integer("format", FORMAT, FORMAT)
    front_end = top.section("front_end")
    front_end.integer("model_rate_hz", MODEL_RATE_HZ, MODEL_RATE_HZ)
    lsb_mv = front_end.number("lsb_mv", LSBS_MV[0], LSBS_MV[-1])
    if lsb_mv not in LSBS_MV:
        front_end.refuse("lsb_mv", f"one of {', '.join(map(str, LSBS_MV))}")
    front_end.finish()
    geometry = _geometry(top.section("geometry"))
    span = top.integer("span_columns", 1, MAX_INPUT // geometry.stride)
    if geometry.input_length(span) > MAX_INPUT:
        top.refuse("span_columns", f"an input of at most {MAX_INPUT} samples")
    tensors = _tensors(top.section("tensors"), lsb_mv)
    titles = _titles(top.sections("classes", MAX_CLASSES))
    kind = find_kind(top.text("kind", _KIND, "lower-case letters, digits and _ (at most 32)"))
    rule = kind.read_rule(top.section("rule"), tuple(titles), span, tensors["evidence"])
    digest = None
    if "decision_sha256" in top.names():
        digest = top.text("decision_sha256", "[0-9a-f]{64}", "64 hexadecimal digits")
    versions = top.section("versions")
    result = {
        "name": top.text("name", _NAME, "letters, digits and . _ - (at most 64)"),
        "kind_name": kind.name,
        "titles": titles,
        "rule": rule,
        "geometry": geometry,
        "span_columns": span,
        "hop_columns": top.integer("hop_columns", 1, span),
        "tensors": tensors,
        "packed_bytes": top.integer("packed_bytes", 1, MAX_FILE),
        "golden_cases": top.integer("golden_cases", 1, MAX_CASES),
        "measured": top.free("measured"),
        "versions": {
            key: versions.text(key, _TITLE, "1 to 100 printable characters")
            for key in versions.names()
        },
        "decision_sha256": digest,
    }
    top.finish()
    return result


def _titles(entries: list[Fields]) -> dict[str, str]:
    titles: dict[str, str] = {}
    for entry in entries:
        name = entry.text("name", _CLASS, "lower-case letters, digits and _ (at most 32)")
        if name in titles:
            entry.refuse("name", "a name that no other class has")
        titles[name] = entry.text("title", _TITLE, "1 to 100 printable characters")
        entry.finish()
    return titles


def _geometry(fields: Fields) -> Geometry:
    stride = fields.integer("stride", 1, 4096)
    field = fields.integer("receptive_field", stride, MAX_INPUT)
    fields.finish()
    return Geometry(stride, field)


def _tensors(fields: Fields, lsb_mv: float) -> dict[str, Quantization]:
    tensors = {}
    for role in TENSORS:
        entry = fields.section(role)
        scale = entry.number("scale", 1e-30, 1e30)
        if float(np.float32(scale)) != scale:
            entry.refuse("scale", f"a float32 value such as {float(np.float32(scale))!r}")
        tensors[role] = Quantization(scale, entry.integer("zero_point", -128, 127))
        entry.finish()
    fields.finish()
    wanted = Quantization(float(np.float32(lsb_mv)), 0)
    if tensors["input"] != wanted:
        raise ModelError(
            f"{MANIFEST}: tensors.input is {tensors['input']}, expected {wanted}: "
            f"front_end.lsb_mv is {lsb_mv:g}"
        )
    return tensors
