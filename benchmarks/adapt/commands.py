"""`python -m benchmarks adapt`."""

from __future__ import annotations

from pathlib import Path

from beatlens.verbs.options import DEFAULT_BUNDLE, BundleFolder, DataFolder, Out


def adapt(
    bundle: BundleFolder = DEFAULT_BUNDLE,
    data: DataFolder = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Measure what five reviewed minutes of a patient bring to a model of beats.

    On records of DS1, svdb and qtdb with 20 S or V beats or more after the first five minutes.
    Writes adapt.json, and adapt_records.json with a row for each record.
    """
    from beatlens.evaluate.figures import write_figures
    from beatlens.runtime.bundle import Bundle
    from beatlens.verbs.show import console, loading_bar
    from benchmarks.adapt.rows import record_rows, summary_rows

    model = Bundle.load(bundle)
    with loading_bar() as show:
        records = list(record_rows(model, data, show))
    rows = summary_rows(records)
    described = (
        "records of DS1, svdb and qtdb with 20 S or V beats or more after 5:00; reviewed: the "
        "first five minutes; counted on the rest, R peaks found by the system"
    )
    command = "python -m benchmarks adapt"
    write_figures(out / "adapt.json", command, described, rows)
    write_figures(out / "adapt_records.json", command, described, records)
    for row in rows:
        console.print(
            f"{row['patients']}: {row['wrong_before']:,} beats missed or false, "
            f"{row['wrong_after']:,} after; {row['better']} records better, {row['worse']} worse"
        )
