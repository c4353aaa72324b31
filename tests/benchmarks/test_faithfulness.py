"""Deletion and insertion on networks whose evidence is known; numpy's interpolation as oracle."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from beatlens.attribution import maps
from beatlens.errors import ModelError
from benchmarks.attribution.faithfulness import (
    deletion,
    insertion,
    randomised,
    take_out,
    weight_randomisation,
)

STRIDE, COLUMNS, LEFT = 4, 20, 6
SAMPLES = LEFT + STRIDE * COLUMNS + 5


class BumpDetector(nn.Module):
    """Class 0 is 'something is high at one place', class 1 the opposite."""

    def forward(self, x: Tensor) -> Tensor:
        logit = 4 * x.amax(dim=(1, 2)) - 4
        return torch.stack([logit, -logit], dim=1)


def bumps() -> tuple[Tensor, Tensor]:
    """Inputs `[B, 1, N]` with one 3-column bump each, and the bump's column."""
    x = torch.zeros(12, 1, SAMPLES)
    column = torch.arange(12) + 2
    for row, at in zip(x, column, strict=True):
        row[0, LEFT + STRIDE * (at - 1) : LEFT + STRIDE * (at + 2)] = 2.0
    return x, column


def bump_map(column: Tensor) -> Tensor:
    distance = (torch.arange(COLUMNS)[None] - column[:, None]).abs()
    return torch.exp(-distance.float())


@settings(deadline=None)  # the machine may be busy
@given(
    gone=st.lists(st.booleans(), min_size=6, max_size=6),
    left=st.integers(0, 3),
    right=st.integers(0, 3),
)
def test_interpolation_is_numpys(gone: list[bool], left: int, right: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 2, left + 12 + right))
    taken = np.zeros(x.shape[-1], bool)
    taken[left : left + 12] = np.repeat(gone, 2)
    filled = take_out(torch.tensor(x), torch.tensor([gone]), 2, left=left).numpy()
    where = np.arange(x.shape[-1])
    for lead in range(2):
        if taken.all():
            np.testing.assert_allclose(filled[0, lead], np.sort(x[0, lead])[(x.shape[-1] - 1) // 2])
        else:
            expected = np.interp(where, where[~taken], x[0, lead, ~taken])
            np.testing.assert_allclose(filled[0, lead], expected, atol=1e-12)


def test_the_baseline_is_the_leads_median_over_the_columns() -> None:
    x = torch.tensor([[[50.0, 1, 2, 3, 4, 50]]])
    filled = take_out(x, torch.tensor([[True, False]]), 2, left=1, fill="baseline")
    assert filled.tolist() == [[[50, 2, 2, 3, 4, 50]]]
    assert x[0, 0, 1] == 1


@pytest.mark.parametrize("control", ["random", "shifted"])
@pytest.mark.parametrize("fill", ["interpolate", "baseline"])
def test_the_true_map_beats_the_control_and_the_inverse_map_loses(control, fill) -> None:
    x, column = bumps()
    options = {"stride": STRIDE, "left": LEFT, "control": control, "fill": fill, "repeats": 8}
    for curve in (deletion, insertion):
        right = curve(BumpDetector(), x, bump_map(column), 0, **options)
        wrong = curve(BumpDetector(), x, -bump_map(column), 0, **options)
        assert right.area_between.mean() > 0.05
        assert (right.area_between > wrong.area_between).all()
    assert deletion(BumpDetector(), x, -bump_map(column), 0, **options).area_between.mean() < 0


def test_curves_start_and_end_at_the_whole_and_the_empty_signal() -> None:
    x, column = bumps()
    empty = take_out(x, torch.ones(12, COLUMNS, dtype=torch.bool), STRIDE, left=LEFT)
    whole, nothing = (BumpDetector()(v)[:, 0].sigmoid().numpy() for v in (x, empty))
    options = {"stride": STRIDE, "left": LEFT, "steps": 7}
    down = deletion(BumpDetector(), x, bump_map(column), 0, **options)
    up = insertion(BumpDetector(), x, bump_map(column), 0, **options)
    for curve, start, stop in ((down, whole, nothing), (up, nothing, whole)):
        assert curve.by_map.shape == curve.by_control.shape == (12, 8)
        np.testing.assert_allclose(curve.fraction[[0, -1]], [0, 1])
        for values in (curve.by_map, curve.by_control):
            np.testing.assert_allclose(values[:, 0], start, rtol=1e-6)
            np.testing.assert_allclose(values[:, -1], stop, rtol=1e-6)


def test_deletion_takes_the_columns_of_the_map_one_by_one_and_the_area_is_the_trapezoids() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(SAMPLES, 2)).eval()
    x, values = torch.randn(3, 1, SAMPLES), torch.randn(3, COLUMNS)
    curve = deletion(net, x, values, 1, stride=STRIDE, left=LEFT, steps=COLUMNS, repeats=1)
    order = values.argsort(dim=-1, descending=True)
    gone = torch.zeros(3, COLUMNS, dtype=torch.bool)
    expected = []
    for step in range(COLUMNS + 1):
        filled = take_out(x, gone, STRIDE, left=LEFT)
        expected.append(net(filled)[:, 1].sigmoid().detach().numpy())
        if step < COLUMNS:
            gone[torch.arange(3), order[:, step]] = True
    np.testing.assert_allclose(curve.by_map, np.stack(expected, axis=-1), rtol=1e-5)
    gap = curve.by_control - curve.by_map
    np.testing.assert_allclose(curve.area_between, (gap[:, 1:] + gap[:, :-1]).mean(axis=1) / 2)


def test_logits_can_be_watched_instead_of_probabilities() -> None:
    x, column = bumps()
    options = {"stride": STRIDE, "left": LEFT, "steps": 5, "repeats": 1}
    chances, logits = (
        deletion(BumpDetector(), x, bump_map(column), 0, watch=watch, **options)
        for watch in ("probability", "logit")
    )
    np.testing.assert_allclose(chances.by_map, 1 / (1 + np.exp(-logits.by_map)), rtol=1e-5)
    with pytest.raises(ModelError, match="watch is 'odds', expected 'probability' or 'logit'"):
        deletion(BumpDetector(), x, bump_map(column), 0, watch="odds", **options)


def test_a_constant_map_is_a_random_order_and_seeds_repeat() -> None:
    x, _ = bumps()
    flat = torch.zeros(12, COLUMNS)
    options = {"stride": STRIDE, "left": LEFT, "repeats": 6}
    areas = [deletion(BumpDetector(), x, flat, 0, seed=seed, **options) for seed in range(20)]
    assert abs(np.mean([curve.area_between.mean() for curve in areas])) < 0.02
    again = deletion(BumpDetector(), x, flat, 0, seed=3, **options)
    np.testing.assert_array_equal(again.by_control, areas[3].by_control)
    np.testing.assert_array_equal(again.by_map, areas[3].by_map)


def test_targets_pick_the_class_of_each_example() -> None:
    x, column = bumps()
    targets = torch.tensor([0, 1] * 6)
    curve = deletion(BumpDetector(), x, bump_map(column), targets, stride=STRIDE, left=LEFT)
    assert (curve.by_map[::2, 0] > 0.9).all()
    assert (curve.by_map[1::2, 0] < 0.1).all()


class SmallNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 8, 5), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 5), nn.ReLU()
        )
        self.head = nn.Conv1d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)).mean(dim=-1)


@pytest.fixture
def small_net() -> SmallNet:
    torch.manual_seed(1)
    return SmallNet().eval()


def test_randomising_draws_the_named_layers_only(small_net: SmallNet) -> None:
    before = {name: value.clone() for name, value in small_net.state_dict().items()}
    torch.manual_seed(9)
    state = torch.get_rng_state()
    twin = randomised(small_net, ["head", "body.3"], seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    changed = {
        name for name, value in twin.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"head.weight", "head.bias", "body.3.weight", "body.3.bias"}
    assert all(torch.equal(v, before[k]) for k, v in small_net.state_dict().items())
    again = randomised(small_net, ["head", "body.3"], seed=4).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in twin.state_dict().items())


def test_a_map_falls_apart_and_one_that_ignores_the_network_does_not(small_net: SmallNet) -> None:
    x = torch.randn(40, 1, 60, generator=torch.manual_seed(2))
    predicted = np.ones((40, 3), bool)

    def grad_cams(net: nn.Module) -> np.ndarray:
        every = [maps.grad_cam(net, "body", x, c, relu=False) for c in range(3)]
        return torch.stack(every, dim=1).numpy()

    steps = weight_randomisation(small_net, ["head", "body.3"], grad_cams, predicted)
    assert list(steps) == ["head", "body.3"]
    assert all(abs(step.summary()["spearman"]) < 0.7 for step in steps.values())
    loudness = weight_randomisation(
        small_net, ["head"], lambda _net: x.abs().expand(40, 3, 60).numpy(), predicted
    )
    assert loudness["head"].summary()["spearman"] == pytest.approx(1)


def test_bad_input_is_refused(small_net: SmallNet) -> None:
    x, column = bumps()
    good = bump_map(column)
    with pytest.raises(ModelError, match="do not fit"):
        deletion(BumpDetector(), x, good, 0, stride=STRIDE + 1, left=LEFT)
    with pytest.raises(ModelError, match="steps 0"):
        insertion(BumpDetector(), x, good, 0, stride=STRIDE, steps=0)
    with pytest.raises(ModelError, match="control is 'other'"):
        deletion(BumpDetector(), x, good, 0, stride=STRIDE, control="other")
    with pytest.raises(ModelError, match="fill is 'zero'"):
        deletion(BumpDetector(), x, good, 0, stride=STRIDE, fill="zero")
    with pytest.raises(ModelError, match="no layer 'tail'; its layers: body"):
        randomised(small_net, ["tail"])
    with pytest.raises(ModelError, match="no weights to randomise"):
        randomised(small_net, ["body.2"])
    own = nn.Module()
    own.weight = nn.Parameter(torch.zeros(3))
    with pytest.raises(ModelError, match=r"no reset_parameters\(\)"):
        randomised(nn.Sequential(own), ["0"])
