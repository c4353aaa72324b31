"""The document as a browser reads it: well formed, nothing loaded, nothing run."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.report.html import render_report, write_report
from beatlens.report.views import Figure, Table

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
VOID = {"meta", "input", "img", "link", "br", "hr"}


class Checker(HTMLParser):
    """Collects tags and text; fails where an end tag does not match."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def full(report, strip):
    return report(
        strips=[strip(), strip(record="sim-2", device=None, agreement={})],
        tables=[
            Table("Fidelity", ["model", "Spearman"], [["small", "0.84"]], "python -m benchmarks x")
        ],
        facts={"Bytes": 31204, "Commit": "abc1234"},
        figures=[Figure("A plot", "<svg></svg>", "alt a"), Figure("A photo", PNG, "alt b")],
        notes=["One note."],
        class_names={"pvc": "premature ventricular beat"},
    )


def test_well_formed_html_with_well_formed_drawings(report, strip):
    html = render_report(full(report, strip))
    found = parsed(html)
    assert [tag for tag, _ in found.tags].count("svg") == 2
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)


def test_ids_are_unique_and_every_reference_resolves(report, strip):
    html = render_report(full(report, strip))
    attributes = [attrs for _, attrs in parsed(html).tags]
    ids = [a["id"] for a in attributes if "id" in a]
    assert len(ids) == len(set(ids))
    wanted = [a["href"][1:] for a in attributes if "href" in a]
    wanted += [a["for"] for a in attributes if "for" in a]
    wanted += [i for a in attributes for i in a.get("aria-labelledby", "").split()]
    wanted += re.findall(r"url\(#([^)]*)\)", html)
    assert wanted
    assert set(wanted) <= set(ids)


def test_nothing_is_loaded_and_nothing_runs(report, strip):
    html = render_report(full(report, strip))
    for tag, attributes in parsed(html).tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name == "src":
                assert value.startswith("data:image/")
            if name in {"href", "xlink:href"}:
                assert value.startswith("#")
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_says_what_it_must(report, strip):
    text = " ".join("".join(parsed(render_report(full(report, strip))).text).split())
    assert "Evidence used by the model, not cause." in text
    assert "Not a medical device" in text
    assert "Simulated ECG, no patient." in text
    assert "Premature ventricular beat (PVC)." in text
    assert "Agreement of the two maps for PVC: Spearman 0.91" in text
    for piece in ("31204", "abc1234", "Fidelity", "python -m benchmarks x", "A plot", "One note."):
        assert piece in text


def test_one_class_is_chosen_per_strip_and_every_class_has_its_rule(report, strip):
    html = render_report(full(report, strip))
    chosen = [a for tag, a in parsed(html).tags if tag == "input" and "checked" in a]
    assert [a["id"] for a in chosen] == ["s0-r0", "s1-r0"]
    for index in range(2):
        assert f".r{index}:checked~* .k{index}{{display:revert}}" in html
        assert f'class="k k{index}"' in html


def test_level_edges_are_the_same_on_every_strip(report, strip, evidence_map):
    loud = evidence_map(evidence={"pvc": np.full(160, 40.0), "sve": np.zeros(160)})
    html = render_report(report(strips=[strip(), strip(teacher=loud, device=loud)]))
    legends = re.findall(r"strong, ≥ ([\d.]+)", html)
    pvc = legends[0::2]
    assert pvc == ["32", "32"]


def test_given_edges_are_used(report):
    assert "strong, ≥ 7.5" in render_report(report(edges={"pvc": (1.0, 2.0, 7.5)}))


def test_hostile_text_stays_text(report, strip, evidence_map):
    bad = "</svg></style><script>alert(1)</script><img src=x onerror=alert(1)>"
    data = report(
        title=bad,
        subtitle=bad,
        data_description=f"Simulated {bad}",
        strips=[strip(record=bad, lead=bad, teacher=evidence_map(bad), beats=[(61.0, bad)])],
        tables=[Table(bad, [bad], [[bad]], bad)],
        facts={bad: bad},
        figures=[Figure(bad, f"<svg>{bad}</svg>", f'"{bad}')],
        notes=[bad],
        class_names={"pvc": bad},
    )
    found = parsed(render_report(data))
    assert "script" not in [tag for tag, _ in found.tags]
    assert [a["src"][:11] for tag, a in found.tags if tag == "img"] == ["data:image/"]


def test_twelve_strips_stay_small(report, strip):
    noise = np.random.default_rng(0)
    strips = [strip(millivolts=noise.normal(0, 0.5, 1280)) for _ in range(12)]
    assert len(render_report(report(strips=strips)).encode()) < 1_500_000


def test_report_without_strips_is_well_formed(report):
    assert "Strips" not in parsed(render_report(report(strips=[]))).text


def test_write_replaces_the_old_file_whole(report, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(0o640)
    assert write_report(report(), path) == path
    assert path.read_text(encoding="utf-8") == render_report(report())
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_failed_write_leaves_the_old_file_and_nothing_else(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(DataError, match="No space left"):
        write_report(report(), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_missing_folder_is_one_clear_error(report, tmp_path):
    with pytest.raises(DataError, match="cannot write"):
        write_report(report(), tmp_path / "nowhere" / "report.html")
    assert not (tmp_path / "nowhere").exists()
