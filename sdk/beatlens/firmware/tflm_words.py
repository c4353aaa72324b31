"""What the templates of a TensorFlow Lite Micro project are filled with."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from beatlens.firmware.arena import Arena, estimated_arena
from beatlens.firmware.mve import MVE_CORES
from beatlens.integer.tflite_read import operators, output_position
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.version import __version__


@dataclass(frozen=True)
class Project:
    """What a project is made of.

    `memory_bytes` are those of a stream; `unsafe` is what `mve_unsafe` says of its network.
    """

    name: str
    bundle: Bundle
    frontend: FrontEnd
    memory_bytes: int
    arena: Arena | None
    unsafe: Sequence[tuple[str, str]]

    def values(self, sources: Sequence[str]) -> dict[str, str]:
        """Text by the name of its place; `sources` are paths inside the project."""
        quoted = [f'        "{path}"' for path in sources]
        outside = [f"    ${{CMAKE_CURRENT_SOURCE_DIR}}/../{path}" for path in sources]
        return {
            "name": self.name,
            "upper": self.name.upper(),
            "slug": "-".join(self.name.lower().split("_")).strip("-"),
            "version": __version__,
            "operators": ", ".join(operators(self.bundle.tflite)),
            "sources": "\n".join(quoted),
            "zephyr_sources": "\n".join(outside),
            **self._of_the_bundle(),
            **self._of_the_arena(),
            **self._of_mve(),
        }

    def _of_the_bundle(self) -> dict[str, str]:
        bundle, stride = self.bundle, self.bundle.geometry.stride
        classes = [f"{self.name}_{key}".upper() for key in bundle.classes]
        return {
            "model": bundle.name,
            "sensor": f"{self.frontend.rate_hz} Hz, {self.frontend.counts_per_mv:g} counts per mV",
            "classes": textwrap.fill(", ".join(classes), 76, subsequent_indent="    "),
            "class_list": ", ".join(bundle.classes),
            "class_count": str(len(bundle.classes)),
            "window": str(bundle.input_length),
            "field": str(bundle.geometry.receptive_field),
            "stride": str(stride),
            "span": str(bundle.span_columns),
            "evidence_bytes": str(bundle.span_columns * len(bundle.classes)),
            "span_s": f"{bundle.span_s:g}",
            "hop_s": f"{bundle.hop_columns * stride / MODEL_RATE_HZ:g}",
            "column_ms": f"{1000 * stride / MODEL_RATE_HZ:g}",
            "evidence_output": str(output_position(bundle.tflite, "evidence")),
            "model_bytes": str(len(bundle.tflite)),
            "memory_bytes": str(self.memory_bytes),
        }

    def _of_the_arena(self) -> dict[str, str]:
        macro = f"{self.name.upper()}_ARENA_BYTES"
        if self.arena is None:
            size = estimated_arena(self.bundle.tflite)
            return {
                "arena_bytes": f"{size} (estimated, must be measured)",
                "arena_text": wrapped_text(
                    f"{size} bytes is an estimate, and more than is needed: no TensorFlow Lite "
                    "Micro was at hand when this was exported. Measure it on your board (see "
                    f"below) and define `{macro}` as what you measured."
                ),
                "arena_macro": _macro(
                    macro,
                    size,
                    "Bytes of the arena: an estimate from above. Measure it for this network: "
                    "README.md says how.",
                ),
            }
        size, origin = self.arena.bytes, self.arena.origin
        return {
            "arena_bytes": str(size),
            "arena_text": wrapped_text(
                f"{size} bytes, {origin}. Another core or another version may need more or less: "
                "pointers have 4 or 8 bytes, and optimised kernels take scratch memory of their "
                "own."
            ),
            "arena_macro": _macro(
                macro, size, f"Bytes of the arena, {origin}. README.md says what may change it."
            ),
        }

    def _of_mve(self) -> dict[str, str]:
        if not self.unsafe:
            return {"mve_text": "", "mve_comment": ""}
        cores = " and ".join(f"Cortex-{core.upper()}" for core in MVE_CORES)
        listed = "; ".join(f"operator {operator}: {reason}" for operator, reason in self.unsafe)
        text = f"WARNING: not for {cores} with CMSIS-NN's kernels. {listed}."
        return {"mve_text": f"\n{wrapped_text(text)}\n", "mve_comment": f"\n{comment(text)}\n"}


def _macro(name: str, size: int, note: str) -> str:
    """The arena's size as C that a build may set otherwise."""
    return f"{comment(note)}\n#ifndef {name}\n#define {name} {size}u\n#endif"


def wrapped_text(text: str, width: int = 118) -> str:
    """Words in lines of this width."""
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def comment(text: str) -> str:
    """A comment of C on lines of its own."""
    return f"/*\n{textwrap.indent(wrapped_text(text, 76), ' * ')}\n */"
