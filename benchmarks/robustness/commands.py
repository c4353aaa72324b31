"""Benchmarks of R peaks, signal quality, noise and warnings."""

from __future__ import annotations

from pathlib import Path

from beatlens.verbs.options import BundleFolders, DataFolder, Out


def qrs(data: DataFolder = None, out: Out = Path("docs/figures")) -> None:
    """Measure the R-peak detector, also in noise.

    On mitdb, svdb and qtdb, beat by beat, as EC57 defines it. mitdb is needed; other databases that
    are not found are left out. Rows of earlier detectors stay in qrs.json.
    """
    from beatlens.evaluate.figures import commit, merge_figures, write_figures
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console, loading_bar
    from benchmarks.robustness.qrs import group_rows, other_groups, qrs_rows

    rows, records = qrs_rows(find_database("mitdb", data))
    with loading_bar() as show:
        rows += group_rows(other_groups(data), show)
    described = (
        "mitdb, MLII; svdb and qtdb (records of no patient of mitdb or svdb), first lead; noise of "
        "nstdb (second lead for DS1, first for DS2) in every other two minutes; after 5:00, "
        "150 ms; intervals by record"
    )
    rows = [{**row, "commit": commit()} for row in rows]
    key = ("detector", "split")
    merge_figures(out / "qrs.json", "python -m benchmarks qrs", described, rows, key)
    write_figures(out / "qrs_records.json", "python -m benchmarks qrs", described, records)
    for row in rows:
        console.print(
            f"{row['split']}: {row['beats']:,} beats, {row['missed']:,} missed, "
            f"{row['wrong']:,} false, Se {row['sensitivity']:.2f} %, +P {row['predictivity']:.2f} %"
        )


def rhythms(data: DataFolder = None, out: Out = Path("docs/figures")) -> None:
    """Hold the rules of rhythms against annotated rhythms, on annotated beats of DS1 and svdb."""
    from beatlens.evaluate.figures import write_figures
    from beatlens.signals.databases import find_database
    from beatlens.signals.databases.mitdb import DS1
    from beatlens.verbs.show import console, loading_bar
    from benchmarks.robustness.rhythms import rhythm_rows

    mitdb, svdb = find_database("mitdb", data), find_database("svdb", data)
    with loading_bar() as show:
        rows = rhythm_rows([("DS1", mitdb, DS1), ("svdb", svdb, svdb.records())], show)
    described = "annotated beats of mitdb DS1 and svdb, by EC57's classes; no model takes part"
    write_figures(out / "rhythms.json", "python -m benchmarks rhythms", described, rows)
    for row in rows:
        annotated = "" if row["annotated"] is None else f", {row['annotated']} annotated"
        console.print(f"{row['split']} {row['kind']}: {row['found']} found{annotated}")


def quality(data: DataFolder = None, out: Out = Path("docs/figures")) -> None:
    """Measure the quality flags: lead off, saturation.

    How many defects are flagged within 2 s, and how much of clean ECG is flagged.
    """
    from beatlens.evaluate.figures import write_figures
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console
    from benchmarks.robustness.quality import quality_rows

    rows = quality_rows(find_database("mitdb", data))
    described = "mitdb DS2, MLII; defects put in at random places"
    write_figures(out / "quality.json", "python -m benchmarks quality", described, rows)
    for row in rows:
        shown = f"{row['found']:.1f} % found" if "found" in row else f"{row['false']:.4f} % flagged"
        console.print(f"{row['what']}: {shown}")


def noise(
    bundles: BundleFolders,
    data: DataFolder = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Measure models with the noise of nstdb added to DS2.

    Decisions, warnings and evidence at six levels of noise, computed by the C of the firmware. Adds
    rows to noise_beats.json and noise_strips.json.
    """
    from beatlens.evaluate.figures import merge_figures
    from beatlens.runtime.bundle import Bundle
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console, loading_bar
    from benchmarks.robustness.noise import NoiseBench

    bench = NoiseBench(find_database("mitdb", data), find_database("nstdb", data))
    described = "mitdb DS2, MLII; noise of nstdb's first lead in every other two minutes from 5:00"
    for bundle in [Bundle.load(folder) for folder in bundles]:
        with loading_bar() as show:
            rows = bench.rows(bundle, show)
        name = "noise_strips.json" if bundle.kind.hops else "noise_beats.json"
        key = ("model", "noise", "snr_db")
        merge_figures(out / name, "python -m benchmarks noise", described, rows, key)
        for row in rows:
            level = "" if row["snr_db"] is None else f" {row['snr_db']} dB"
            shown = f"{bundle.name} {row['noise']}{level}: {row['wrong']:.1f} % wrong"
            console.print(f"{shown}, {row['wrong_warned']:.0f} % of those with a warning")


def warnings(
    bundles: BundleFolders,
    data: DataFolder = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Measure the warnings of models that decide on beats.

    On DS2, on DS2 with inverted leads, on patients with pacemakers, and on svdb. Adds rows to
    warnings.json.
    """
    from beatlens.evaluate.figures import merge_figures
    from beatlens.runtime.bundle import Bundle
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console, loading_bar
    from benchmarks.robustness.warnings import groups, warning_rows

    chosen = groups(find_database("mitdb", data), find_database("svdb", data))
    described = "mitdb (MLII; V5 of 102 and 104) and svdb (first lead), after 5:00"
    for bundle in [Bundle.load(folder) for folder in bundles]:
        with loading_bar() as show:
            rows = warning_rows(bundle, chosen, show)
        merge_figures(
            out / "warnings.json",
            "python -m benchmarks warnings",
            described,
            rows,
            ("model", "what"),
        )
        for row in rows:
            console.print(
                f"{bundle.name} {row['what']}: {row['warned']:.1f} % with a warning, "
                f"{row['wrong']:.1f} % wrong, {row['wrong_warned']:.0f} % of those with a warning"
            )
