"""The C engine against the integer simulator, bit for bit, on thousands of random networks.

    make test-shapes                                  10,000 networks
    BEATLENS_SHAPES=50000 BEATLENS_SEED=7 make test-shapes

`make test` runs some hundreds. One program runs them all, with the sanitizers on: models come to it
as bytes, read from the C text that the generator writes. Each network runs three times: its input
at once, column by column, and in pieces of random sizes. A failure names the seed of its network;
`test_shrinking` looks for a small one by hypothesis.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beatlens.errors import ModelError
from beatlens.firmware import KernelSet, Plan, lay_out, model_source
from beatlens.integer.graph import Crop, IntegerGraph
from beatlens.integer.simulate import simulate

from .c_model import decode_cases, encode_case, members
from .compiled import ENGINE, HERE, compile_c, source
from .networks import Draw, log2_of_factors, network, network_input

SHAPES = int(os.environ.get("BEATLENS_SHAPES", "400"))
SEED = int(os.environ.get("BEATLENS_SEED", "1"))
BATCH = 100
OF_SET: dict[KernelSet, tuple[str, ...]] = {
    "portable": ("bl_convolve_rows", "bl_add", "bl_permute"),
    "long": ("bl_convolve_long",),
    "dsp": ("bl_convolve_pairs", "bl_convolve_taps"),
    "mve": ("bl_convolve_vectors", "bl_convolve_channels"),
}
"""Kernels that a set stands for."""
WAYS = 3
"""Runs of a network: at once, by column, in random pieces."""


@dataclass(frozen=True)
class Case:
    """A network, its input, and what the simulator makes of it."""

    plan: Plan
    x: np.ndarray
    wanted: np.ndarray

    @classmethod
    def make(cls, draw: Draw, kernels: KernelSet) -> Case:
        graph = network(draw)
        x = network_input(graph, draw)
        chunk = draw(1, 20) if draw(0, 1) else None
        return cls(lay_out(graph, chunk, kernels), x, simulate(graph, x[None])["evidence"][0])

    @property
    def graph(self) -> IntegerGraph:
        return self.plan.graph

    def encode(self, seed: int) -> bytes:
        return encode_case(model_source(self.plan, "model"), seed, len(self.x), self.x.tobytes())

    def check(self, rc: int, evidence: bytes) -> None:
        """Assert that a run gave the simulator's evidence.

        A stream does not know where a crop ends, and makes what comes behind it too.
        """
        assert rc == 0
        found = np.frombuffer(evidence, np.int8).reshape(-1, self.wanted.shape[1])
        np.testing.assert_array_equal(found[: len(self.wanted)], self.wanted)
        if not any(isinstance(op, Crop) for op in self.graph.ops):
            assert len(found) == len(self.wanted)


@pytest.fixture(scope="module", params=get_args(KernelSet))
def kernels(request: pytest.FixtureRequest) -> KernelSet:
    """A set of kernels; this machine runs all, without the instructions they were written for."""
    return request.param


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine, and the program that builds models out of bytes."""
    sources = [*map(source, ENGINE), HERE / "kernel_harness.c"]
    return compile_c(sources, tmp_path_factory.mktemp("shapes") / "harness")


def runs(harness: Path, stdin: bytes) -> tuple[list[tuple[int, bytes]], str]:
    """Results of the harness, up to where a sanitizer ended it, and the text it wrote."""
    done = subprocess.run([harness], input=stdin, capture_output=True, check=False, timeout=600)
    message = done.stderr.decode(errors="replace")
    return list(decode_cases(done.stdout)), message or f"exit status {done.returncode}"


def of_seed(seed: int, kernels: KernelSet = "portable") -> Case:
    """The network of one seed."""
    rng = np.random.default_rng(seed)
    try:
        return Case.make(lambda low, high: int(rng.integers(low, high + 1)), kernels)
    except ModelError as error:
        error.add_note(f"network of seed {seed}")
        raise


def check_batch(harness: Path, seeds: range, kernels: KernelSet) -> list[Case]:
    """Run networks in one process; a failure names the seed."""
    cases = [of_seed(seed, kernels) for seed in seeds]
    stdin = b"".join(case.encode(seed) for seed, case in zip(seeds, cases, strict=True))
    results, message = runs(harness, stdin)
    for number, (seed, case) in enumerate(zip(seeds, cases, strict=True)):
        mine = results[WAYS * number : WAYS * (number + 1)]
        assert len(mine) == WAYS, f"network of seed {seed}: {message[:3000]}"
        for rc, evidence in mine:
            try:
                case.check(rc, evidence)
            except AssertionError as error:
                raise AssertionError(f"network of seed {seed}: {error}") from error
    return cases


def test_random_networks(harness: Path, kernels: KernelSet) -> None:
    kinds: Counter[str] = Counter()
    used: Counter[str] = Counter()
    values, at_rails, factors = 0, 0, []
    for first in range(0, SHAPES, BATCH):
        begin = SEED * 1_000_000_000 + first
        for case in check_batch(harness, range(begin, begin + min(BATCH, SHAPES - first)), kernels):
            kinds.update(op.kind for op in case.graph.ops)
            used.update(layer.code.kernel for layer in case.plan.layers)
            kinds["window" if case.plan.window else "stream"] += 1
            factors += log2_of_factors(case.graph)
            values += case.wanted.size
            at_rails += int((np.abs(case.wanted.astype(int)) >= 127).sum())
    print(dict(kinds), dict(used), f"{values} values, {at_rails} at rails, "
          f"factors 2^{min(factors):.1f} to 2^{max(factors):.1f}")  # fmt: skip
    everything = {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "GATHER", "SLICE", "window", "stream"}
    assert min(kinds[kind] for kind in everything) > SHAPES // 10
    assert min(used[kernel] for kernel in OF_SET[kernels]) > SHAPES // 100
    assert at_rails < 0.8 * values
    assert min(factors) < -24
    assert max(factors) > 1


@settings(max_examples=25, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                                 HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_shrinking(harness: Path, kernels: KernelSet, data: st.DataObject) -> None:
    """The same property, one network at a time, for hypothesis to make a failing one small."""
    case = Case.make(lambda low, high: data.draw(st.integers(low, high)), kernels)
    results, message = runs(harness, case.encode(1))
    assert len(results) == WAYS, message[:3000]
    for rc, evidence in results:
        case.check(rc, evidence)


@pytest.mark.parametrize("kind", ["bl_layer", "bl_buffer", "bl_model"])
def test_the_harness_reads_every_field(kind: str) -> None:
    """In the header's order; a field that it does not know would shift all that follow."""
    code = (HERE / "kernel_harness.c").read_text(encoding="ascii")
    read = re.findall(rf"\b{kind.removeprefix('bl_')}->(\w+) =", code)
    assert read == [member.name for member in members(kind)]


def test_wrong_weights_are_seen(harness: Path) -> None:
    """The harness runs the bytes it is given: the first array negated, and evidence differs."""
    cases = list(map(of_seed, range(40)))
    differ = 0
    for case in cases:
        results, _ = runs(harness, with_first_array(case.encode(0), negated))
        differ += len(results) == WAYS and results[0][1] != case.wanted.tobytes()
    assert differ > len(cases) / 4


def with_first_array(case: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A case with its first array changed; in most it holds weights."""
    size = int.from_bytes(case[4:8], "little")
    changed = change(case[8 : 8 + size])
    return case[:4] + len(changed).to_bytes(4, "little") + changed + case[8 + size :]


def negated(values: bytes) -> bytes:
    return bytes(-value % 256 for value in values)


def test_a_read_beside_an_array_ends_the_run(harness: Path) -> None:
    """The sanitizers are on: weights cut short are noticed."""
    case = next(c for c in map(of_seed, range(100)) if c.plan.layers[0].taps > 3)
    results, message = runs(harness, with_first_array(case.encode(0), lambda values: values[:-1]))
    assert len(results) < WAYS
    assert "AddressSanitizer" in message
