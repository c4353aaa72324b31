"""What is counted in each test record, and the rows of figures made of it.

EC57's beat by beat and run by run; beats by the length of their run; false beats an hour; a class
with and without the record that has most of its beats, and its mean over records. Intervals are by
patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beatlens.evaluate.bootstrap import interval, ratio_statistic
from beatlens.evaluate.ec57 import START_S, BeatCounts, Rate, count_pairs, pair_beats
from beatlens.evaluate.ec57_runs import (
    BUCKETS,
    NO_RUNS,
    Ectopic,
    RunCounts,
    beats_by_run,
    compare_runs,
)
from beatlens.signals.annotations import AamiMapping, Annotations
from beatlens.tasks.beats.metrics import ec57_row
from beatlens.tasks.contract import Row

ECTOPIC: dict[str, Ectopic] = {"veb": "V", "sveb": "S"}
"""Classes of ectopic beats by their name in rows."""
ENOUGH = 5
"""Beats of a class that a record has at least where it counts in the mean over records."""
BUCKET_KEYS = {name: name.replace("-", "_").replace(" and ", "_") for name in BUCKETS}
RUN_KINDS = ("couplets", "short_runs", "long_runs")
NAN = float("nan")


@dataclass(frozen=True)
class RecordCounts:
    """One record, compared with its reference in one mapping.

    Args:
        database, patient: of the record.
        hours: that were counted.
        beats: pairs of labels.
        in_runs: for `veb` and `sveb`, beats found and all, by the length of their run (`BUCKETS`).
        runs: for `veb` and `sveb`, run by run.
    """

    database: str
    patient: str
    hours: float
    beats: BeatCounts
    in_runs: Mapping[str, Mapping[str, tuple[int, int]]]
    runs: Mapping[str, RunCounts]

    def rate(self, name: str) -> Rate:
        """Beats of a class, `veb` or `sveb`."""
        rate: Rate = getattr(self.beats, name)
        return rate


Records = Mapping[str, RecordCounts]


def count_record(
    reference: Annotations,
    test: Annotations,
    rate_hz: int,
    mapping: AamiMapping = "aami",
    start_s: float = START_S,
    database: str = "",
    patient: str = "",
) -> RecordCounts:
    """Compare a record's decided beats with its annotations.

    Atrial fibrillation is a supraventricular run in the mapping of `bxb` alone: there all is as the
    WFDB programs count it.
    """
    pairs = pair_beats(reference, test, rate_hz, mapping, start_s)
    return RecordCounts(
        database=database,
        patient=patient or reference.name,
        hours=max(0.0, reference.length / rate_hz - start_s) / 3600,
        beats=count_pairs(pairs),
        in_runs={
            name: beats_by_run(reference, pairs, code, mapping) for name, code in ECTOPIC.items()
        },
        runs={
            name: compare_runs(
                reference, test, rate_hz, code, mapping, start_s, fibrillation=mapping == "bxb"
            )
            for name, code in ECTOPIC.items()
        },
    )


def build_row(records: Records) -> Row:
    """Figures of records, in percent but for counts and rates an hour.

    Of `ec57_row`, and for `veb` and `sveb`: `_f1`; `_false_an_hour`; `_mean_f1` over the records
    with `ENOUGH` beats of the class, `_mean_records` of them; `_largest_record`, which has most of
    its beats, its share of them (`_largest_share`) and its own `_largest_sensitivity` and
    `_largest_predictivity`; `_rest_f1`, `_rest_sensitivity` and `_rest_predictivity` without that
    record; `_sensitivity_in_runs_of_LENGTH`; and run by run `_couplets_...`, `_short_runs_...` and
    `_long_runs_...`.
    """
    patients = [record.patient for record in records.values()]
    row: Row = ec57_row({name: record.beats for name, record in records.items()}, patients)
    for name in ECTOPIC:
        row |= {f"{name}_{key}": value for key, value in _class_figures(records, name).items()}
    return row


def _class_figures(records: Records, name: str) -> Row:
    rates = {record: counts.rate(name) for record, counts in records.items()}
    whole = _add_rates(rates.values())
    hours = sum(counts.hours for counts in records.values())
    each = [_f1(rate) for rate in rates.values() if rate.found + rate.missed >= ENOUGH]
    largest = max(rates, key=lambda record: rates[record].found + rates[record].missed)
    size, of = rates[largest].found + rates[largest].missed, whole.found + whole.missed
    rest = _add_rates(rate for record, rate in rates.items() if record != largest)
    row: Row = {
        "f1": 100 * _f1(whole),
        "false_an_hour": whole.wrong / hours if hours else NAN,
        "mean_f1": 100 * float(np.mean(each)) if each else NAN,
        "mean_records": len(each),
        "largest_record": largest if size else None,
        "largest_share": 100 * size / of if of else NAN,
        "largest_sensitivity": 100 * rates[largest].sensitivity,
        "largest_predictivity": 100 * rates[largest].predictivity,
        "rest_f1": 100 * _f1(rest),
        "rest_sensitivity": 100 * rest.sensitivity,
        "rest_predictivity": 100 * rest.predictivity,
    }
    for bucket, key in BUCKET_KEYS.items():
        found, there = (sum(c.in_runs[name][bucket][i] for c in records.values()) for i in (0, 1))
        row[f"sensitivity_in_runs_of_{key}"] = 100 * found / there if there else NAN
    runs = sum((counts.runs[name] for counts in records.values()), start=NO_RUNS)
    for kind in RUN_KINDS:
        rate = getattr(runs, kind)
        row[f"{kind}_sensitivity"] = 100 * rate.sensitivity
        row[f"{kind}_predictivity"] = 100 * rate.predictivity
    return row


def build_run_rows(records: Records) -> list[Row]:
    """A row for each class and length of runs: counts, rates in percent, intervals by patient.

    `counted` is `beats`, by the length of the run they are in, or `runs`, EC57's run by run. Beats
    have no predictivity: the length of a run that is not there is not known.
    """
    rows: list[Row] = []
    for name in ECTOPIC:
        for bucket in BUCKETS:
            pairs = [counts.in_runs[name][bucket] for counts in records.values()]
            found, whole = ([pair[i] for pair in pairs] for i in (0, 1))
            about = {"class": name, "counted": "beats", "length": bucket}
            sensitivity = _with_interval(records, "sensitivity", found, whole)
            rows.append({**about, **sensitivity, **_with_interval(records, "predictivity", [], [])})
        for kind in RUN_KINDS:
            rates = [getattr(counts.runs[name], kind) for counts in records.values()]
            found, right = ([getattr(rate, key) for rate in rates] for key in ("found", "right"))
            asked = [rate.found + rate.missed for rate in rates]
            claimed = [rate.right + rate.wrong for rate in rates]
            about = {"class": name, "counted": "runs", "length": kind.replace("_", " ")}
            sensitivity = _with_interval(records, "sensitivity", found, asked)
            predictivity = _with_interval(records, "predictivity", right, claimed)
            rows.append({**about, **sensitivity, **predictivity})
    return rows


def build_record_rows(records: Records) -> list[Row]:
    """A row for each record: how many beats of a kind, and what was found of them, in percent."""
    rows = []
    for record, counts in records.items():
        row: Row = {"record": record, "database": counts.database, "patient": counts.patient}
        for name in ECTOPIC:
            rate = counts.rate(name)
            row[f"{name}_beats"] = rate.found + rate.missed
            row[f"{name}_wrong"] = rate.wrong
            row[f"{name}_sensitivity"] = 100 * rate.sensitivity
            row[f"{name}_predictivity"] = 100 * rate.predictivity
            row[f"{name}_f1"] = 100 * _f1(rate)
            row[f"{name}_false_an_hour"] = rate.wrong / counts.hours if counts.hours else NAN
        rows.append(row)
    return rows


def _with_interval(records: Records, key: str, part: Sequence[int], whole: Sequence[int]) -> Row:
    """How many of how many, the rate, and its interval; all NaN or 0 where there is nothing."""
    row: Row = {f"{key}_of": int(sum(whole)), key: NAN, f"{key}_lo": NAN, f"{key}_hi": NAN}
    patients = [counts.patient for counts in records.values()]
    if sum(whole):
        row[key] = 100 * sum(part) / sum(whole)
        if len(set(patients)) > 1:
            ends = interval(ratio_statistic(part, whole), patients)
            row |= {f"{key}_lo": 100 * ends.lo, f"{key}_hi": 100 * ends.hi}
    return row


def _add_rates(rates: Iterable[Rate]) -> Rate:
    found, missed, wrong = 0, 0, 0
    for rate in rates:
        found, missed, wrong = found + rate.found, missed + rate.missed, wrong + rate.wrong
    return Rate(found, missed, wrong)


def _f1(rate: Rate) -> float:
    """`2 found / (2 found + missed + wrong)`, NaN where there is nothing."""
    either = 2 * rate.found + rate.missed + rate.wrong
    return 2 * rate.found / either if either else NAN
