"""Every cell of a table, and every file that is refused."""

import json
from html.parser import HTMLParser

import pytest

from beatlens.errors import DataError
from beatlens.report.tables import (
    Column,
    Figures,
    html_table,
    load_figures,
    make_table,
    summary,
)

GROUP = ["matching", "form"]


def figures_of(*rows):
    return Figures("cmd", "abc", "simulated", "any", rows)


def test_summary_prefers_the_measured_interval_over_the_spread_of_seeds():
    assert summary([{"ap": 0.5}], "ap") == (0.5, None, None)
    assert summary([{"ap": 0.5}, {"ap": 0.7}], "ap") == (pytest.approx(0.6), 0.5, 0.7)
    ends = [{"ap": 0.5, "ap_lo": 0.4, "ap_hi": 0.6}, {"ap": 0.7, "ap_lo": 0.6, "ap_hi": 0.8}]
    assert summary(ends, "ap") == pytest.approx((0.6, 0.5, 0.7))


def test_missing_figures_are_a_dash_but_half_missing_ones_an_error():
    rows = [{"m": "a", "ap": None}, {"m": "b", "ap": 0.5}]
    assert make_table(figures_of(*rows), ["ap"], ["m"]).rows[0] == ["a", "–"]
    with pytest.raises(DataError, match="1 of 2 rows"):
        make_table(figures_of({"m": "a"}, {"m": "a", "ap": 0.5}), ["ap"], ["m"])


def test_text_where_a_number_belongs():
    with pytest.raises(DataError, match="expected numbers"):
        make_table(figures_of({"m": "a", "ap": "high"}), ["ap"], ["m"])


def test_group_key_missing():
    with pytest.raises(DataError, match="row 0 has no 'form'"):
        make_table(figures_of({"m": "a", "ap": 0.5}), ["ap"], ["form"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {"a": 1}])
def test_rows_are_flat_and_finite(value):
    with pytest.raises(DataError, match="row 0 has ap"):
        figures_of({"ap": value})


def test_negative_numbers_get_a_minus_sign():
    table = make_table(figures_of({"m": "a", "d": -0.5}), [Column("d", digits=2)], ["m"])
    assert table.rows == [["a", "−0.50"]]


def test_html_table_is_escaped_and_complete(figures):
    table = make_table(figures, ["spearman"], GROUP, "Fidelity <b>")
    html = html_table(table)
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)
    parser.feed(html)
    assert tags.count("tr") == 5
    assert tags.count("th") == 3
    assert tags.count("td") == 12
    assert "b" not in tags
    assert "beatlens x" in html


def test_load_figures_round_trip(figures, tmp_path):
    path = tmp_path / "f.json"
    content = {k: getattr(figures, k) for k in ("command", "commit", "data", "machine", "rows")}
    path.write_text(json.dumps(content))
    assert load_figures(path) == figures


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"command": "c"}',
        '{"command": "c", "commit": "c", "data": "d", "machine": "m", "rows": [1]}',
        '{"command": "c", "commit": "c", "data": "d", "machine": 3, "rows": []}',
        '{"command": "c", "commit": "c", "data": "d", "machine": "m", "rows": [{"ap": NaN}]}',
    ],
)
def test_damaged_figures_files(text, tmp_path):
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(DataError):
        load_figures(path)
    with pytest.raises(DataError, match="cannot read"):
        load_figures(tmp_path / "absent.json")
