"""What C of the firmware costs on a Cortex-M: flash, stack, and what it asks of whoever links it.

Objects are compiled by GCC with `-fcallgraph-info=su`; nothing is run. Stack is the deepest chain
of frames below a function, along a call graph without cycles, so it is a bound and not a sample.
Calls through pointers follow a table of where each pointer can lead.

>>> graph = CallGraph.read('''
... node: { title: "x.c:leaf" label: "leaf\\\\nx.c:1:1\\\\n8 bytes (static)" }
... node: { title: "top" label: "top\\\\nx.c:5:1\\\\n16 bytes (static)" }
... edge: { sourcename: "top" targetname: "x.c:leaf" label: "x.c:6:5" }''')
>>> graph.deepest("top", {}, {})
Stack(bytes=24, chain=('top', 'leaf'))
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beatlens.c_source.files import c_folder
from beatlens.errors import BeatlensError

PREFIX = "arm-none-eabi-"
TOOLS = ("gcc", "nm", "size")
OPTIONS = ("-std=c99", "-mthumb", "-O2", "-ffreestanding", "-fcallgraph-info=su")

KERNELS = ("bl_convolve_rows", "bl_convolve_pairs", "bl_convolve_long", "bl_convolve_taps",
           "bl_convolve_vectors", "bl_convolve_channels", "bl_add", "bl_permute")  # fmt: skip
"""Where a layer's `kernel` can lead."""

LEAD_POINTERS: Mapping[str, tuple[str, ...]] = {
    "on_column": ("take_evidence",),
    "on_finding": (),
    "on_beat": (),
    "on_peak": (),
    "on_rhythm": (),
    "on_minute": (),
    "push": (),
    "kernel": KERNELS,
}
"""Where the pointers of `bl_lead.c` lead that do not depend on the chain: the network's callback is
its own function. The user's callbacks count as nothing; what they need comes on top."""

STREAM_POINTERS: Mapping[str, tuple[str, ...]] = {
    **LEAD_POINTERS,
    "sample": ("add_window_sample",),
    "forget": ("forget_column",),
    "column": ("add_window_column",),
    "gap": ("skip_windows",),
    "segment": ("end_window_segment",),
    "bytes": (),
    "begin": (),
    "advance": (),
    "restart": (),
    "take": (),
    "add": (),
}
"""Where the pointers of a chain of windows lead whose task has no tables."""

TABLE_POINTERS: Mapping[str, tuple[str, ...]] = {
    **STREAM_POINTERS,
    "on_peak": ("add_window_peak",),
    "bytes": ("count_rhythm_bytes",),
    "begin": ("begin_rhythm",),
    "advance": ("advance_rhythm",),
    "restart": ("restart_rhythm",),
    "take": ("take_rhythm",),
    "add": ("add_tables",),
}
"""Where they lead with tables of the rhythm."""

BEAT_POINTERS: Mapping[str, tuple[str, ...]] = {
    **LEAD_POINTERS,
    "on_peak": ("add_peak",),
    "sample": ("add_sample",),
    "forget": ("forget_beat_column",),
    "column": ("add_beat_column",),
    "gap": (),
    "segment": ("end_beats",),
}
"""Where the pointers of a chain of beats lead."""

NET_POINTERS: Mapping[str, tuple[str, ...]] = {"on_column": (), "kernel": KERNELS}
"""Where the pointers of `bl_net.c` lead when it is used alone: to the user."""

NAKED: Mapping[str, int] = {"multiply": 44, "add_products": 76, "place_values": 28}
"""What functions in assembly push, which compilers do not know: `bl_pairs_asm.h`, and the last two
of `bl_long_asm.h`."""

_NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "([^"]*)"', re.MULTILINE)
_EDGE = re.compile(
    r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"(?: label: "([^"]*)")?', re.MULTILINE
)
_FRAME = re.compile(r"(\d+) bytes \(([a-z,]+)\)")
_CALLED = re.compile(r"\(?\*?(?:\w+(?:->|\.))*(\w+)\)?\s*\(")
_INDIRECT = "__indirect_call"
_BOUNDED = ("static", "dynamic,bounded")


@dataclass(frozen=True)
class Symbols:
    """Names in object files.

    Attributes:
        defined: functions and constants that others can use.
        wanted: what none of the objects defines.
        writable: data that can change: global or static state.
    """

    defined: frozenset[str]
    wanted: frozenset[str]
    writable: frozenset[str]


@dataclass(frozen=True)
class Stack:
    """Bytes of stack, and the functions, outermost first, whose frames they are."""

    bytes: int
    chain: tuple[str, ...]


def has_tools() -> bool:
    """Whether the compiler for Cortex-M and its tools are installed."""
    return all(shutil.which(PREFIX + tool) for tool in TOOLS)


def engine_files() -> list[Path]:
    """The sources of the C library, sorted."""
    return sorted((c_folder() / "src").glob("*.c"))


def compile_objects(
    cpu: str, sources: Iterable[Path], folder: Path, *options: str
) -> tuple[Path, ...]:
    """Compile for a core; beside each object is its call graph, NAME.ci.

    Args:
        cpu: as `-mcpu` takes it, such as "cortex-m4".
        sources: of different names.
        folder: where objects go.
        options: more for the compiler; a later `-O` wins.

    Raises:
        BeatlensError: there is no compiler, or it refuses a source.
    """
    objects = []
    for source in sources:
        made = folder / f"{source.stem}.o"
        _run(
            "gcc", f"-mcpu={cpu}", *OPTIONS, *options, f"-I{c_folder() / 'include'}",
            "-c", str(source), "-o", str(made),
        )  # fmt: skip
        objects.append(made)
    return tuple(objects)


def symbols(objects: Sequence[Path]) -> Symbols:
    """Names that objects define, want and change.

    Raises:
        BeatlensError: a tool is missing, or refuses an object.
    """
    kinds: dict[str, set[str]] = {}
    for line in _run("nm", "--format=posix", *map(str, objects)).splitlines():
        if len(fields := line.split()) >= 2:  # else the name of an object
            kinds.setdefault(fields[1], set()).add(fields[0])

    def of(letters: str) -> frozenset[str]:
        return frozenset().union(*(kinds.get(letter, ()) for letter in letters))

    defined = of("TRWV")
    return Symbols(defined, of("Uwv") - defined, of("DdBbCGgSs"))


def flash_bytes(objects: Sequence[Path]) -> int:
    """Bytes of code, constants and initial values in objects.

    Raises:
        BeatlensError: a tool is missing, or refuses an object.
    """
    rows = [line.split() for line in _run("size", *map(str, objects)).splitlines()[1:]]
    return sum(int(text) + int(data) for text, data, *_ in rows)


def stack_bytes(
    objects: Sequence[Path],
    functions: Iterable[str],
    pointers: Mapping[str, Sequence[str]] = STREAM_POINTERS,
    helpers: Mapping[str, int] | None = None,
) -> dict[str, Stack]:
    """The stack that each function needs, its own frame included.

    What an interrupt pushes (32 bytes, 104 with floating point) comes on top.

    Args:
        objects: from `compile_objects`, all that the functions call.
        functions: such as `bl_push`.
        pointers: by name of a function pointer, the functions it can lead to.
        helpers: bytes of functions that are in no object, such as `memcpy`.

    Raises:
        BeatlensError: functions call each other in a circle, a frame has no bound, a call leads to
            a function whose frame is not known, or through a pointer that is not in the table.
    """
    text = "".join(made.with_suffix(".ci").read_text(encoding="utf-8") for made in objects)
    graph = CallGraph.read(text)
    return {name: graph.deepest(name, pointers, helpers or {}) for name in functions}


@dataclass(frozen=True)
class CallGraph:
    """Frames in bytes by function, and by caller what it calls: `(function, place of the call)`.

    Functions of a file's own carry its name, as in `x.c:leaf`.
    """

    frames: Mapping[str, int]
    calls: Mapping[str, frozenset[tuple[str, str]]]

    @classmethod
    def read(cls, text: str) -> CallGraph:
        """What GCC wrote to one or more `.ci` files.

        Raises:
            BeatlensError: a frame has no bound.
        """
        frames = {}
        for title, label in _NODE.findall(text):
            if frame := _FRAME.search(label):
                if frame[2] not in _BOUNDED:
                    raise BeatlensError(
                        f"{_short(title)}: its frame is {frame[2]}, expected a fixed size; use no "
                        "array of variable length"
                    )
                frames[title] = int(frame[1])
        calls: dict[str, set[tuple[str, str]]] = {}
        for caller, callee, place in _EDGE.findall(text):
            calls.setdefault(caller, set()).add((callee, place))
        return cls(frames, {name: frozenset(found) for name, found in calls.items()})

    def deepest(
        self, name: str, pointers: Mapping[str, Sequence[str]], helpers: Mapping[str, int]
    ) -> Stack:
        """The deepest chain of frames from a function on; see `stack_bytes`."""
        known: dict[str, Stack] = {}

        def below(title: str, above: tuple[str, ...]) -> Stack:
            if title in above:
                circle = " -> ".join(map(_short, (*above[above.index(title) :], title)))
                raise BeatlensError(f"{circle}: a circle of calls; the stack has no bound")
            if title not in known:
                known[title] = self._deeper(title, [
                    below(callee, (*above, title))
                    for callee in sorted(self._callees(title, pointers))
                ], helpers)  # fmt: skip
            return known[title]

        return below(self._title(name), ())

    def _deeper(self, title: str, callees: list[Stack], helpers: Mapping[str, int]) -> Stack:
        own = self.frames.get(title, helpers.get(title))
        if own is not None:
            own = max(own, NAKED.get(_short(title), 0))
        if own is None:
            raise BeatlensError(
                f"{title}: its frame is not known; add its object, or its bytes to `helpers`"
            )
        most = max(callees, key=lambda stack: stack.bytes, default=Stack(0, ()))
        return Stack(own + most.bytes, (_short(title), *most.chain))

    def _callees(self, title: str, pointers: Mapping[str, Sequence[str]]) -> set[str]:
        found = set()
        for callee, place in self.calls.get(title, frozenset()):
            if callee != _INDIRECT:
                found.add(callee)
                continue
            pointer = _pointer_at(place)
            if pointer not in pointers:
                raise BeatlensError(
                    f"{_short(title)}: calls through {pointer!r} ({place}), expected one of "
                    f"{sorted(pointers)}; add to `pointers` where it leads"
                )
            found.update(map(self._title, pointers[pointer]))
        return found

    def _title(self, name: str) -> str:
        titles = [title for title in self.frames if _short(title) == name]
        if len(titles) != 1:
            raise BeatlensError(f"{name}: {len(titles)} functions of this name, expected 1")
        return titles[0]


def _pointer_at(place: str) -> str:
    """The name of the function pointer that is called at `file:line:column`."""
    path, line, column = place.rsplit(":", 2)
    text = Path(path).read_text(encoding="utf-8").splitlines()[int(line) - 1][int(column) - 1 :]
    called = _CALLED.match(text)
    return called[1] if called else text


def _short(title: str) -> str:
    return title.rsplit(":", 1)[-1]


def _run(tool: str, *arguments: str) -> str:
    command = [PREFIX + tool, *arguments]
    if shutil.which(command[0]) is None:
        raise BeatlensError(
            f"{command[0]}: not found; the firmware is measured with it (Debian: apt install "
            "gcc-arm-none-eabi)"
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BeatlensError(f"{command[0]}: {done.stderr.strip()[:500]}")
    return done.stdout
