"""Our matching loss: shape and order of every class's map."""

from __future__ import annotations

import pytest
import torch

from beatlens.attribution.matching import OFFSETS, Classwise, pair_order
from beatlens.errors import RecipeError

from .attributions import wrap_maps

pytestmark = pytest.mark.rounding


def test_classwise_ignores_a_constant_added_to_a_map_unless_not_centred() -> None:
    torch.manual_seed(0)
    mine, theirs, logits = torch.randn(4, 3, 30), torch.randn(4, 3, 30), torch.randn(4, 3)
    shift, gain = torch.randn(4, 3, 1) * 5, torch.rand(4, 3, 1) + 0.5
    teacher = wrap_maps(theirs, logits)
    before = Classwise()(wrap_maps(mine, logits), teacher)
    for changed in (mine + shift, mine * gain, mine * gain + shift):
        after = Classwise()(wrap_maps(changed, logits), teacher)
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    moved = Classwise()(wrap_maps(mine, logits), wrap_maps(theirs + shift, logits))
    torch.testing.assert_close(moved, before, rtol=1e-4, atol=1e-5)
    # Of maps that agree but for the shift: 0 where it is ignored, else near 1 - cos of a map and
    # itself with a shift of 5 of its standard deviations.
    moved = wrap_maps(theirs + shift, logits)
    assert Classwise(order=0.0)(moved, teacher) < 1e-5
    assert Classwise(order=0.0, centred=False)(moved, teacher) > 0.2


def test_shape_is_one_minus_pearson_weighted_by_the_teachers_probability() -> None:
    torch.manual_seed(1)
    mine, theirs, logits = torch.randn(2, 3, 25), torch.randn(2, 3, 25), torch.randn(2, 3) * 3
    total = weights = 0.0
    for b in range(2):
        for c in range(3):
            weight = torch.sigmoid(logits[b, c]).item() + 0.05
            pearson = torch.corrcoef(torch.stack([mine[b, c], theirs[b, c]]))[0, 1].item()
            total, weights = total + weight * (1 - pearson), weights + weight
    shape = Classwise(floor=0.05, order=0.0)
    found = shape(wrap_maps(mine, logits * 0), wrap_maps(theirs, logits))
    assert found.item() == pytest.approx(total / weights, abs=1e-5)


def test_order_compares_every_pair_of_columns_at_its_offsets() -> None:
    torch.manual_seed(2)
    maps = torch.randn(40, dtype=torch.float64)
    scaled = maps / (0.3 * maps.std(correction=0))
    expected = [
        torch.tanh(scaled[t + k] - scaled[t]) for k in OFFSETS if k < 40 for t in range(40 - k)
    ]
    found = pair_order(maps[None], softness=0.3)[0]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-6, atol=1e-7)


def test_order_sees_what_a_peak_hides_from_shape() -> None:
    torch.manual_seed(3)
    background = torch.randn(1, 1, 80)
    theirs = background.clone()
    theirs[..., 30:33] += 40
    mine = background.flip(-1)
    mine[..., 30:33] = theirs[..., 30:33]  # the same peak; between peaks nothing is alike
    sure = torch.full((1, 1), 9.0)
    seen, teacher = wrap_maps(mine, sure), wrap_maps(theirs, sure)
    assert Classwise(order=0.0)(seen, teacher).item() < 0.03
    assert Classwise(order=1.0)(seen, teacher).item() > 0.1


def test_order_has_gradients_even_where_a_map_is_flat() -> None:
    flat = torch.zeros(1, 2, 20, requires_grad=True)
    teacher = wrap_maps(torch.randn(1, 2, 20), torch.zeros(1, 2))
    Classwise()(wrap_maps(flat, torch.zeros(1, 2)), teacher).backward()
    assert torch.isfinite(flat.grad).all()
    assert flat.grad.abs().sum() > 0


@pytest.mark.parametrize("settings", [{"order": -0.1}, {"order": 1.1}, {"softness": 0.0}])
def test_shares_and_softness_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(RecipeError, match="expected floor >= 0"):
        Classwise(**settings)


def test_classwise_sees_signs_and_absent_classes_count_little() -> None:
    maps = torch.randn(1, 3, 25)
    sure = torch.tensor([[9.0, -9.0, -9.0]])
    flipped = maps.clone()
    flipped[:, 0] *= -1
    teacher = wrap_maps(maps, sure)
    assert Classwise(0.0)(wrap_maps(flipped, sure), teacher).item() > 1.99
    flipped = maps.clone()
    flipped[:, 1] *= -1
    assert Classwise(0.0)(wrap_maps(flipped, sure), teacher).item() < 0.001
    assert Classwise(0.05)(wrap_maps(flipped, sure), teacher).item() > 0.05


def test_a_negative_floor_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"floor is -0\.1"):
        Classwise(-0.1)
