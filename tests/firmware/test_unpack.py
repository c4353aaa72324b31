"""The C decoder against the Python one: equal on every byte string, sound or not.

Compiled with the address and undefined-behaviour sanitizers, which end the program at the first
access beside a buffer.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import ModelError
from beatlens.packed import decode_tensor, encode_tensor, name_coding
from beatlens.packed.bits import spell_fields
from beatlens.packed.tensor import leb128

from ..packed import tensors as made

FIRMWARE = Path(__file__).parents[2] / "firmware_export"
HARNESS = Path(__file__).parent / "unpack_harness.c"
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
MAX_WEIGHTS = 4096
"""Weights the harness decodes at most."""
TOO_MANY = -100
ERRORS = range(-39, -31)
"""Those of packed weights in `bl_error.h`."""
SHAPES = [(1, 1, 1), (6, 8, 10), (3, 5, 7), (9, 1, 32), (40, 9, 1), (2, 16, 33)]


@pytest.fixture(scope="session")
def harness(tmp_path_factory) -> Path:
    """The decoder as a program for this machine."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("NO C COMPILER (cc, gcc): the C decoder of packed weights was not tested")
    program = tmp_path_factory.mktemp("unpack") / "unpack"
    subprocess.run(
        [compiler, *WARNINGS, "-O1", "-g", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=all", f"-I{FIRMWARE / 'include'}",
         str(FIRMWARE / "src" / "bl_unpack.c"), str(HARNESS), "-o", str(program)],
        check=True,
    )  # fmt: skip
    return program


def decode(harness: Path, cases: list[bytes]) -> list[np.ndarray | int]:
    """Per case the tensor, or the error's number."""
    stdin = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    done = subprocess.run([harness], input=stdin, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()[:2000]
    data, at, found = done.stdout, 0, []
    for _ in cases:
        (rc,) = struct.unpack_from("<i", data, at)
        at += 4
        if rc:
            found.append(rc)
            continue
        shape = struct.unpack_from("<3I", data, at)
        size = int(np.prod(shape))
        found.append(np.frombuffer(data, np.int8, size, at + 12).reshape(shape))
        at += 12 + size
    assert at == len(data)
    return found


def read(case: bytes) -> np.ndarray | None:
    """What Python reads, None where it refuses."""
    try:
        return decode_tensor(case, limit=MAX_WEIGHTS)
    except ModelError:
        return None


def agree(harness: Path, cases: list[bytes]) -> int:
    """Assert that both decoders give the same for each case; how many hold a tensor."""
    sound = 0
    for case, found in zip(cases, decode(harness, cases), strict=True):
        wanted = read(case)
        if wanted is None:
            assert isinstance(found, int), case
            assert found in ERRORS or found == TOO_MANY, case
            continue
        assert not isinstance(found, int), (case, found)
        np.testing.assert_array_equal(found, wanted)
        sound += 1
    return sound


def packed_tensors() -> list[bytes]:
    rng = np.random.default_rng(0)
    return [encode_tensor(make(rng, shape)) for make in made.MAKERS for shape in SHAPES]


def test_every_tensor_comes_out_as_it_went_in(harness):
    rng = np.random.default_rng(5)
    tensors = [make(rng, shape) for make in made.MAKERS for shape in SHAPES for _ in range(3)]
    packed = [encode_tensor(tensor) for tensor in tensors]
    assert len({name_coding(case) for case in packed}) == 7
    for tensor, found in zip(tensors, decode(harness, packed), strict=True):
        np.testing.assert_array_equal(found, tensor)


def test_every_plan_not_only_the_smallest(harness):
    """Each way the encoder can write a tensor, each block and segment it tries."""
    from beatlens.packed.plans import every_plan

    rng, cases, tensors = np.random.default_rng(6), [], []
    for make in made.MAKERS:
        for shape in [(4, 6, 8), (3, 1, 24)]:
            tensor = make(rng, shape)
            for plan in every_plan(tensor):
                start = bytes([1 << 4 | plan.coding])
                start += b"".join(leb128(n) for n in (*shape, *plan.fields))
                case = start + np.packbits(np.concatenate(plan.write())).tobytes()
                if len(case) <= tensor.size + 32:  # larger ones no decoder takes
                    cases.append(case)
                    tensors.append(tensor)
    assert len(cases) > 100
    assert agree(harness, cases) == len(cases)
    for tensor, found in zip(tensors, decode(harness, cases), strict=True):
        np.testing.assert_array_equal(found, tensor)


def test_the_weights_of_trained_models(harness, shared_dir):
    """Weights as training leaves them: every per-channel int8 tensor of the reference models."""
    interpreters = pytest.importorskip("ai_edge_litert.interpreter")
    rows = []
    for path in sorted((shared_dir / "anchors").rglob("*.tflite")):
        model = interpreters.Interpreter(str(path))
        model.allocate_tensors()
        for tensor in model.get_tensor_details():
            channels = len(tensor["quantization_parameters"]["scales"])
            if tensor["dtype"] == np.int8 and channels > 1:
                weights = model.get_tensor(tensor["index"])
                axis = tensor["quantization_parameters"]["quantized_dimension"]
                weights = np.moveaxis(weights, axis, 0).reshape(channels, -1, 1)
                rows += [weights[i : i + 8] for i in range(0, channels, 8)]
    rows = [row for row in rows if row.size <= MAX_WEIGHTS]
    assert len(rows) > 10
    for row, found in zip(rows, decode(harness, [encode_tensor(r) for r in rows]), strict=True):
        np.testing.assert_array_equal(found, row)


def test_cut_off_or_longer(harness):
    cases = [case[:keep] for case in packed_tensors()[::3] for keep in range(len(case))]
    assert agree(harness, cases[::2]) == 0
    assert (
        agree(harness, [case + more for case in packed_tensors() for more in (b"\0", b"\1")]) == 0
    )


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits(harness, seed):
    rng, cases = np.random.default_rng(seed), []
    for case in packed_tensors():
        for _ in range(60):
            damaged = bytearray(case)
            first = rng.random() < 0.5  # half of them where header and codes are
            for bit in rng.integers(0, 8 * min(len(case), 24 if first else len(case)), 2):
                damaged[bit >> 3] ^= 1 << (bit & 7)
            cases.append(bytes(damaged))
    assert 100 < agree(harness, cases) < len(cases)


def test_any_bytes_behind_any_header(harness):
    rng, cases = np.random.default_rng(9), []
    for _ in range(6000):
        coding = int(rng.integers(0, 8))
        numbers = [int(n) for n in rng.integers(0, 9, rng.integers(0, 8))]
        start = bytes([1 << 4 | coding]) + b"".join(leb128(n) for n in numbers)
        cases.append(start + rng.integers(0, 256, rng.integers(0, 30)).astype(np.uint8).tobytes())
    assert 3 < agree(harness, cases) < len(cases)


def code_fields(rng: np.random.Generator) -> list[tuple[int, int]]:
    """A number code that is nearly always one."""
    if rng.random() < 0.3:
        return [(0, 1), (int(rng.integers(0, 10)), 5)]
    lengths = [1, 2, 3, 3] if rng.random() < 0.7 else [0] * int(rng.integers(1, 60))
    mantissa = int(rng.integers(0, 4))
    described = [(7 << 4 | length, 7) for length in lengths]
    return [(1, 1), (mantissa, 2), (len(lengths) - 1, 6), *described]


def test_sound_codes_before_any_bits(harness):
    """Random streams that get past the description of codes and sections."""
    rng, cases = np.random.default_rng(10), []
    for _ in range(6000):
        coding = int(rng.integers(1, 7))
        numbers = [2, 3, 4, *{3: [1, 2, 3], 4: [2, 2], 5: [3, 1]}.get(coding, [])]
        head = [(int(rng.integers(0, 10)), 5)] if coding == 3 else []
        head += code_fields(rng) + (code_fields(rng) if coding > 3 else [])
        for _ in range({4: 2, 5: 2, 6: 1}.get(coding, 0)):
            head += [(4, 5), (int(rng.integers(0, 16)), 4)]
        bits = np.concatenate([spell_fields(head), rng.integers(0, 2, 60).astype(np.uint8)])
        bits = bits[: len(bits) - int(rng.integers(0, 60))]
        start = bytes([1 << 4 | coding]) + bytes(numbers)
        cases.append(start + np.packbits(bits).tobytes())
    assert 20 < agree(harness, cases) < len(cases)


def limit_case(coding: int, numbers: list[int], *fields: tuple[int, int]) -> bytes:
    return bytes([1 << 4 | coding, *numbers]) + np.packbits(spell_fields(fields)).tobytes()


def fixed(width: int) -> list[tuple[int, int]]:
    return [(0, 1), (width, 5)]


LIMITS = {
    "weight": lambda n: limit_case(1, [1, 1, 1], *fixed(9), (255 + n, 9)),
    "magnitude": lambda n: limit_case(
        4, [1] * 5, *fixed(8), *fixed(0), (4, 5), (8, 4), (1, 5), (1, 1), (128 + n, 8), (1, 1)
    ),
    "index": lambda n: limit_case(
        3, [1, 2, 2, 2, 1, 2], (1, 5), *fixed(2), (0b0110, 4), (0, 2), (1 + n, 2)
    ),
    "entries": lambda n: limit_case(
        3, [1, 2, 2, 2, 1, 2 + n], (0, 5), *fixed(1), (0, 1), (1, 1)
    ),
    "run": lambda n: limit_case(6, [1, 1, 2], *fixed(2), *fixed(0), (2, 5), (2, 2), (2 + n, 2)),
    "value between runs": lambda n: limit_case(
        6, [1, 1, 1], *fixed(1), *fixed(8), (1, 5), (1, 1), (0, 1), (254 + n, 8)
    ),
    "width": lambda n: limit_case(6, [1, 1, 1], *fixed(1), *fixed(24 + n), (1, 5), (1, 1), (1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("what", LIMITS)
def test_the_largest_that_is_taken_and_one_more(harness, what):
    largest, more = LIMITS[what](0), LIMITS[what](1)
    assert agree(harness, [largest]) == 1
    assert agree(harness, [more]) == 0


def test_large_claims(harness):
    shape = b"".join(leb128(n) for n in (256, 256, 256))
    bodies = [b"", b"\xff" * 9, b"\x08\x10" * 20]
    fields = (b"", b"\1\1", b"\1\1\1")
    cases = [
        bytes([1 << 4 | coding]) + shape + more + body
        for coding in range(7)
        for more in fields
        for body in bodies
    ]
    assert agree(harness, cases) == 0


def test_lines_fit_and_nothing_of_libc_is_used():
    for path in (*FIRMWARE.glob("src/bl_unpack.c"), *FIRMWARE.glob("include/bl_unpack.h")):
        text = path.read_text(encoding="ascii")
        assert max(map(len, text.splitlines())) < 80
        assert set(re.findall(r"#include [<\"](.*)[>\"]", text)) <= {
            "stdint.h",
            "bl_error.h",
            "bl_unpack.h",
        }


def test_the_header_is_a_cpp_header_too(tmp_path):
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    source = tmp_path / "t.cpp"
    source.write_text('#include "bl_unpack.h"\nint f(bl_unpack *u) { return u->coding; }\n')
    subprocess.run(
        [compiler, "-std=c++11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only",
         f"-I{FIRMWARE / 'include'}", str(source)],
        check=True,
    )  # fmt: skip
