"""Tables as Markdown, and what stands between their marks on a page."""

import pytest

from beatlens.errors import DataError
from beatlens.report.tables import Column, Figures
from benchmarks.docs_tables.markdown import fill_table, markdown_table

from ..report.conftest import figures

__all__ = ["figures"]
GROUP = ["matching", "form"]


def test_markdown_table_means_and_intervals(figures):
    columns = [Column("spearman", "Spearman", 2), Column("macro_ap"), Column("bytes", digits=None)]
    assert markdown_table(figures, columns, GROUP) == (
        "| matching | form | Spearman | macro_ap | bytes |\n"
        "|:--|:--|--:|--:|--:|\n"
        "| none | float | 0.62 [0.50, 0.70] | 0.610 [0.600, 0.620] | 115,600 |\n"
        "| none | int8 | 0.62 [0.50, 0.70] | 0.610 [0.600, 0.620] | 28,900 |\n"
        "| classwise | float | 0.86 [0.74, 0.94] | 0.610 [0.600, 0.620] | 115,600 |\n"
        "| classwise | int8 | 0.86 [0.74, 0.94] | 0.610 [0.600, 0.620] | 28,900 |\n"
        "\n"
        "Mean [interval]. From `beatlens x (simulated; two cores; commit abc1234; "
        "mean over 3 seeds)`.\n"
    )


def test_bars_and_tags_in_names_do_not_break_the_table():
    rows = [{"m": "a|b\n<i>", "ap": 0.5}]
    table = markdown_table(Figures("cmd", "abc", "simulated", "any", rows), ["ap"], ["m"])
    assert "| a\\|b &lt;i> | 0.500 |" in table


README = "# A\n<!-- table:fidelity -->\nold | table\n<!-- /table:fidelity -->\nafter\n"


def test_filling_a_table_replaces_only_between_its_marks(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(README)
    assert fill_table(path, "fidelity", "new \\1 table\n")
    expected = "# A\n<!-- table:fidelity -->\nnew \\1 table\n<!-- /table:fidelity -->\nafter\n"
    assert path.read_text() == expected
    assert not fill_table(path, "fidelity", "new \\1 table\n")
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    "text",
    [
        "no marks",
        README + README,
        "<!-- /table:fidelity -->\n<!-- table:fidelity -->\n",
        "<!-- table:fidelity -->\n",
    ],
)
def test_filling_a_table_refuses_unclear_marks(text, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(DataError, match="expected one of each"):
        fill_table(path, "fidelity", "new")
    assert path.read_text() == text
