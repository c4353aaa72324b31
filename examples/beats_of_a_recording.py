"""Stream a recording through a model that decides on beats, and print what speaks for each ectopic.

    python examples/beats_of_a_recording.py models/beats/bundle path/to/mitdb/119 --lead MLII
    python examples/beats_of_a_recording.py models/beats/bundle --simulate 60

R peaks are found on the way. A beat's reasons are segments of signal and its rhythm; with the
offsets of the model's rule they sum to the difference of the two classes' scores. Samples that the
file marks as missing are gaps, as in `beatlens explain`.
"""

import argparse
from collections import Counter
from pathlib import Path

from beatlens import Bundle, Finding, Recording
from beatlens.errors import BeatlensError
from beatlens.runtime.finding import OFFSET, Contribution


def main() -> None:
    arguments = parse()
    bundle = Bundle.load(arguments.bundle)
    recording = read(arguments)
    lead = recording.lead(arguments.lead or recording.lead_names[0])
    stream = bundle.stream(
        recording.rate_hz, recording.counts_per_mv[lead], rails=recording.rails[lead]
    )
    counts: Counter[str] = Counter()
    missing = None if recording.missing is None else recording.missing[lead]
    for start in range(0, recording.samples, recording.rate_hz):
        second = slice(start, start + recording.rate_hz)
        lost = None if missing is None else missing[second]
        beats = stream.push(recording.counts[lead, second], lost)
        counts.update(show(bundle, beat) for beat in beats)
    counts.update(show(bundle, beat) for beat in stream.flush())
    print("; ".join(f"{number} x {kind}" for kind, number in counts.most_common()))


def show(bundle: Bundle, beat: Finding) -> str:
    if beat.class_name is None or beat.probabilities is None:
        return "not assessable"
    if beat.class_name != bundle.classes[0]:
        reasons = ", ".join(described(part, beat.time_s) for part in beat.explain()[:3])
        chance = beat.probabilities[beat.class_name]
        print(f"{beat.time_s:8.2f} s  {beat.class_name} {chance:.2f}  {reasons}")
    return bundle.titles[beat.class_name]


def described(part: Contribution, peak_s: float) -> str:
    if part.what == OFFSET:
        return f"the rule's offset ({part.logits:+.1f})"
    if part.start_s is None or part.end_s is None:
        return f"{part.what} {part.ratio:.2f} ({part.logits:+.1f})"
    start, end = (1000 * (at - peak_s) for at in (part.start_s, part.end_s))
    return f"{start:.0f} to {end:.0f} ms ({part.logits:+.1f})"


def read(arguments: argparse.Namespace) -> Recording:
    if arguments.record is None:
        from beatlens.signals.simulate import simulate_patient

        return simulate_patient(7, arguments.simulate, pvc_per_minute=8).recording
    from beatlens.signals.wfdb_files import read_recording

    return read_recording(arguments.record.parent, arguments.record.name)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path, help="folder of a bundle that decides on beats")
    parser.add_argument("record", type=Path, nargs="?", help="WFDB record, without .hea")
    parser.add_argument("--lead", help="name of the lead; the record's first if left out")
    parser.add_argument("--simulate", type=float, default=60.0, metavar="SECONDS")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except BeatlensError as error:
        raise SystemExit(f"beats_of_a_recording: {error}") from error
