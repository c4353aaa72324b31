"""Small WFDB records of simulated ECG, and what `beatlens explain` makes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from beatlens.runtime.bundle import Bundle
from beatlens.signals.simulate import simulate_patient

ROOT = Path(__file__).resolve().parents[2]
RATE = 360
VOID = {"meta", "input", "img", "br", "link", "hr"}


@cache
def released(name: str) -> Bundle:
    """A released bundle."""
    return Bundle.load(name)


def ectopic_counts(seconds: float, seed: int = 4) -> np.ndarray:
    """Simulated counts with premature ventricular and atrial beats, int16 `[n]`, 200 a mV."""
    patient = simulate_patient(seed, seconds, pvc_per_minute=8, pac_per_minute=4)
    return patient.recording.counts[0].astype(np.int16)


def write_record(
    folder: Path,
    name: str,
    leads: dict[str, np.ndarray],
    *,
    when: str = "",
    gain: str = "200",
) -> Path:
    """Write counts by lead name as a record of format 16; its path without extension."""
    counts = np.stack([np.asarray(c, dtype="<i2") for c in leads.values()], axis=1)
    counts.tofile(folder / f"{name}.dat")
    lines = [f"{name} {len(leads)} {RATE} {len(counts)} {when}".strip()]
    for row, lead in enumerate(leads):
        total = int(counts[:, row].sum(dtype=np.int64)) % 65536
        first = int(counts[0, row])
        lines.append(f"{name}.dat 16 {gain} 16 0 {first} {total} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def explain(record: Path | str, bundle: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `beatlens explain` in a process of its own, piped."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sdk"), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "beatlens", "explain", str(record), "--bundle", bundle,
         *options],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


@cache
def findings(record: Path, bundle: str) -> subprocess.CompletedProcess[str]:
    """What `beatlens explain --json` makes of a record that does not change; run once."""
    return explain(record, bundle, "--json")


@cache
def printed(record: Path, bundle: str) -> subprocess.CompletedProcess[str]:
    """What `beatlens explain` prints of a record that does not change; run once."""
    return explain(record, bundle)


class Page(HTMLParser):
    """A page's tags and text; fails where an end tag does not match the newest open one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    @property
    def text(self) -> str:
        """All text of the page, spaces as one."""
        return " ".join(" ".join(self._text).split())

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a CSS class."""
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]
