"""Stream a recording through a bundle, second by second, and print what the device would say.

    python examples/stream_a_recording.py models/NAME path/to/mitdb/100 --lead MLII
    python examples/stream_a_recording.py models/NAME --simulate 60

A span that cannot be judged (a lead off, saturation, lost samples) is printed with its reasons.
"""

import argparse
from pathlib import Path

from beatlens import Bundle, Finding, Recording
from beatlens.errors import BeatlensError


def main() -> None:
    arguments = parse()
    bundle = Bundle.load(arguments.bundle)
    recording = read(arguments)
    lead = recording.lead(arguments.lead or recording.lead_names[0])
    stream = bundle.stream(
        recording.rate_hz, recording.counts_per_mv[lead], rails=recording.rails[lead]
    )
    missing = None if recording.missing is None else recording.missing[lead]
    for start in range(0, recording.samples, recording.rate_hz):
        second = slice(start, start + recording.rate_hz)
        lost = None if missing is None else missing[second]
        for finding in stream.push(recording.counts[lead, second], lost):
            show(bundle, finding)
    for finding in stream.flush():
        show(bundle, finding)


def show(bundle: Bundle, finding: Finding) -> None:
    when = f"{finding.start_s:7.1f} .. {finding.end_s:7.1f} s"
    if not finding.assessable or finding.probabilities is None:
        print(f"{when}  not assessable: {'; '.join(finding.quality_notes)}")
        return
    found = finding.predicted
    print(f"{when}  {', '.join(bundle.titles[name] for name in found) or 'nothing found'}")
    for name in found:
        places = ", ".join(
            f"{segment.start_s:.2f} to {segment.end_s:.2f} s"
            for segment in finding.explain(name)
            if segment.logits > 0
        )
        print(f"{'':22}  {name} {finding.probabilities[name]:.2f}, seen at {places}")


def read(arguments: argparse.Namespace) -> Recording:
    if arguments.record is None:
        from beatlens.signals.simulate import simulate_patient

        return simulate_patient(7, arguments.simulate, pvc_per_minute=8).recording
    from beatlens.signals.wfdb_files import read_recording

    return read_recording(arguments.record.parent, arguments.record.name)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path, help="folder of a bundle")
    parser.add_argument("record", type=Path, nargs="?", help="WFDB record, without .hea")
    parser.add_argument("--lead", help="name of the lead; the record's first if left out")
    parser.add_argument("--simulate", type=float, default=60.0, metavar="SECONDS")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except BeatlensError as error:
        raise SystemExit(f"stream_a_recording: {error}") from error
