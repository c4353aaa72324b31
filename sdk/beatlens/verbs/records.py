"""`beatlens evaluate --bundle --database --records`: a bundle on records that somebody names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from beatlens.errors import RecipeError
from beatlens.evaluate.figures import write_figures
from beatlens.pipeline.bundle_records import (
    measure_records,
    read_record_list,
    recipe_for_records,
)
from beatlens.runtime.bundle import Bundle
from beatlens.tasks.registry import read_recipe
from beatlens.verbs.runs import print_summary
from beatlens.verbs.show import console, loading_bar


@dataclass(frozen=True)
class RecordsAsked:
    """A bundle, a database, and a file with the names of its records."""

    bundle: Path
    database: str
    records: Path

    @classmethod
    def check(
        cls, bundle: Path | None, database: str | None, records: Path | None, ec57: bool
    ) -> RecordsAsked:
        """The three options; `RecipeError` where one is missing or --ec57 is given too."""
        for value, option in ((bundle, "--bundle"), (database, "--database NAME"),
                              (records, "--records FILE")):  # fmt: skip
            if value is None:
                raise RecipeError(
                    f"{option} is missing, expected --bundle, --database and --records together"
                )
        if ec57 or bundle is None or database is None or records is None:
            raise RecipeError("--ec57 was given, expected --bundle with --database without it")
        return cls(bundle, database, records)


def evaluate_records(
    asked: RecordsAsked,
    recipe: Path | None,
    teacher: Path | None,
    data: Path | None,
    out: Path | None,
) -> None:
    """Measure, print, and write a figures file if one is asked for."""
    model, names = Bundle.load(asked.bundle), read_record_list(asked.records)
    given = None if recipe is None else read_recipe(recipe)
    chosen = recipe_for_records(model, given, asked.database, names, teacher is not None)
    with loading_bar() as show:
        found = measure_records(chosen, model, teacher, data, show)
    print_summary(found.summary)
    command = (
        f"beatlens evaluate --bundle {asked.bundle} --database {asked.database} "
        f"--records {asked.records}"
    )
    command += "" if teacher is None else f" --teacher {teacher}"
    about = {"database": asked.database, "records": len(names)}
    rows = [{**row, **about} for row in found.rows]
    if out is not None:
        described = f"real ECG: {len(names)} records of {asked.database}, nothing chosen on them"
        write_figures(out, command, described, rows)
        console.print(f"figures: {out}")
