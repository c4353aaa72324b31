"""What does not fit is refused with a message that says so, before anything is drawn."""

import numpy as np
import pytest

from beatlens.errors import DataError, SignalError
from beatlens.report.views import Figure, MapView, Table


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite(strip, bad):
    samples = np.zeros(1280)
    samples[17] = bad
    with pytest.raises(SignalError, match="sample 17"):
        strip(millivolts=samples)


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 1280)])
def test_samples_of_the_wrong_shape(strip, shape):
    with pytest.raises(SignalError, match="shape"):
        strip(millivolts=np.zeros(shape))


def test_strip_longer_than_the_paper(strip):
    with pytest.raises(SignalError, match="10 s"):
        strip(millivolts=np.zeros(1281))


def test_map_of_the_wrong_length(strip, evidence_map):
    short = evidence_map(evidence={"pvc": np.zeros(159), "sve": np.zeros(159)})
    with pytest.raises(DataError, match=r"159 columns of 8 samples.*needs 160"):
        strip(device=short)


def test_strides_may_differ_and_the_last_column_may_be_partial(strip, evidence_map):
    half = evidence_map(stride=16)
    assert strip(device=half).models[1].columns == 80
    ragged = evidence_map(evidence={"pvc": np.zeros(126), "sve": np.zeros(126)})
    assert strip(millivolts=np.zeros(1001), teacher=ragged, device=None).teacher.columns == 126


def test_evidence_that_is_not_finite(evidence_map):
    with pytest.raises(DataError, match="column 3"):
        evidence_map(evidence={"pvc": np.array([0, 0, 0, np.nan]), "sve": np.zeros(4)})


@pytest.mark.parametrize("probability", [np.nan, -0.1, 1.1])
def test_probability_out_of_range(evidence_map, probability):
    with pytest.raises(DataError, match="probability"):
        evidence_map(probabilities={"pvc": probability, "sve": 0.1})


def test_classes_must_be_the_same_everywhere(strip, evidence_map):
    with pytest.raises(DataError, match="thresholds"):
        evidence_map(thresholds={"pvc": 0.5})
    other = MapView("Device", {"afib": 0.1}, {"afib": 0.5}, {"afib": np.zeros(160)}, 8)
    with pytest.raises(DataError, match="expected the same"):
        strip(device=other)
    with pytest.raises(DataError, match="'afib'"):
        strip(agreement={"afib": {"spearman": 0.1}})


def test_times_count_from_the_start_of_the_record(strip):
    with pytest.raises(DataError, match="start of the record"):
        strip(beats=[(1.0, "V")])
    with pytest.raises(DataError, match="start of the record"):
        strip(truth={"pvc": [(4.85, 5.45)]})
    assert strip(truth={"afib": [(0.0, 1e4)]}).truth["afib"] == [(0.0, 1e4)]


def test_agreement_that_is_not_a_number_must_be_none(strip):
    with pytest.raises(DataError, match="None"):
        strip(agreement={"pvc": {"spearman": float("nan")}})


def test_class_shown_first_is_found_else_missed_else_nearest(strip, evidence_map):
    assert strip().shown == "pvc"
    nothing = evidence_map(probabilities={"pvc": 0.1, "sve": 0.2})
    assert strip(teacher=nothing, truth={"pvc": [(64.0, 65.0)]}).shown == "pvc"
    assert strip(teacher=nothing, truth={}).shown == "sve"
    assert strip(focus="sve").shown == "sve"
    with pytest.raises(DataError, match="'afib'"):
        strip(focus="afib")


@pytest.mark.parametrize("text", ["", "MIT-BIH", "unreal data"])
def test_data_must_be_called_real_or_simulated(report, text):
    with pytest.raises(DataError, match="real or simulated"):
        report(data_description=text)


def test_edges_must_rise(report):
    with pytest.raises(DataError, match="rising"):
        report(edges={"pvc": (1.0, 1.0, 2.0)})


def test_table_rows_have_a_cell_per_column():
    with pytest.raises(DataError, match="row 1 has 1 cells"):
        Table("t", ["a", "b"], [["1", "2"], ["3"]])


@pytest.mark.parametrize("image", ["<script>", b"GIF89a"])
def test_figures_are_svg_or_png(image):
    with pytest.raises(DataError, match="neither SVG"):
        Figure("f", image, "alt")
