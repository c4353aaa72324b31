"""The device's program on an emulated Cortex-M4, beside Python: the same findings, bit for bit.

    python examples/firmware/run_on_qemu.py BUNDLE [RECORD]

BUNDLE is a bundle's folder. RECORD is a WFDB record without its ending, for instance
mitdb/119; without one, simulated ECG is used. Needs arm-none-eabi-gcc and qemu-system-arm (Debian:
gcc-arm-none-eabi, qemu-system-arm).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from beatlens.c_source.files import c_folder
from beatlens.firmware.cores import find_core
from beatlens.firmware.package import write_bundle
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.stream import Stream
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.recording import Recording
from beatlens.signals.simulate import simulate_patient
from beatlens.signals.wfdb_files import read_recording

HERE = Path(__file__).parent
SECONDS = 60


def recording_of(record: str | None) -> Recording:
    if record is None:
        return simulate_patient(7, SECONDS, pvc_per_minute=10).recording
    path = Path(record)
    return read_recording(path.parent, path.name)


def build(folder: Path, bundle: Bundle, sensor: FrontEnd, counts: np.ndarray) -> Path:
    """Firmware of the bundle, the recording as C, and `main.c`, compiled for a Cortex-M4."""
    package = write_bundle(bundle, sensor, folder / "package", "strips", "m4")
    listed = ", ".join(map(str, counts.tolist()))
    (folder / "recording.h").write_text(
        "#include <stdint.h>\n"
        f"#define COUNTS {len(counts)}u\nstatic const int16_t counts[COUNTS] = {{{listed}}};\n",
        encoding="ascii",
    )
    port = c_folder() / "ports" / "qemu"
    model = [package / f"{name}.c" for name in ("strips", "strips_net", "strips_sensor")]
    sources = [HERE / "main.c", *model, *sorted((package / "src").glob("*.c")), *port.glob("s*.c")]
    program = folder / "device.elf"
    subprocess.run(
        ["arm-none-eabi-gcc", *find_core("m4").flags, "-std=c99", "-O2", "-ffreestanding",
         "-nostdlib", f"-I{folder}", f"-I{package}", f"-I{package / 'include'}", f"-I{port}",
         *sources, f"-T{port / 'board.ld'}", "-Wl,--defsym=CODE=0", "-Wl,--defsym=DATA=0x20000000",
         "-lgcc", "-o", program],
        check=True,
    )  # fmt: skip
    return program


def said_by_device(program: Path) -> list[list[str]]:
    """Its lines of output, as words."""
    done = subprocess.run(
        ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial",
         "none", "-semihosting-config", "enable=on,target=native", "-kernel", program],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.split() for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def said_by_python(bundle: Bundle, sensor: FrontEnd, counts: np.ndarray) -> list[list[str]]:
    """The same lines from `bundle.stream`."""
    stream = Stream(bundle, sensor.rate_hz, sensor.counts_per_mv, rails=sensor.rails)
    lines: list[list[str]] = []
    for finding in [*stream.push(counts), *stream.flush()]:
        columns_per_s = 128 / bundle.geometry.stride
        start, end = (round(at * columns_per_s) for at in (finding.start_s, finding.end_s))
        decisions = sum(1 << bundle.classes.index(name) for name in finding.predicted)
        facts = (start, end - start, int(finding.assessable), decisions)
        lines.append(["finding", *map(str, facts)])
        if finding.evidence is None:
            continue
        scale, zero = bundle.tensors["evidence"].scale, bundle.tensors["evidence"].zero_point
        for row in (np.rint(finding.evidence / scale) + zero).astype(int):
            lines.append(["class", str(row.sum()), *map(str, row.tolist())])
    return lines


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    bundle = Bundle.load(sys.argv[1])
    recording = recording_of(sys.argv[2] if len(sys.argv) == 3 else None)
    part = slice(SECONDS * recording.rate_hz)
    counts = recording.counts[0, part].astype(np.int16)
    if recording.missing is not None and recording.missing[0, part].any():
        sys.exit(f"samples are missing in the first {SECONDS} s, expected none: main.c has no gaps")
    sensor = FrontEnd(recording.rate_hz, recording.counts_per_mv[0], recording.rails[0])
    with tempfile.TemporaryDirectory() as folder:
        device = said_by_device(build(Path(folder), bundle, sensor, counts))
    python = said_by_python(bundle, sensor, counts)
    for line in device:
        if line[0] == "finding":
            start, columns, assessable, decisions = map(int, line[1:])
            names = [n for i, n in enumerate(bundle.classes) if decisions >> i & 1]
            found = ", ".join(names) or "nothing found" if assessable else "not assessable"
            seconds = bundle.geometry.stride / 128
            print(f"{start * seconds:6.1f} to {(start + columns) * seconds:6.1f} s  {found}")
    if device != python:
        sys.exit("the device's findings are not Python's")
    print(f"{len(device)} lines of findings and evidence, the same on the device and in Python")


if __name__ == "__main__":
    main()
