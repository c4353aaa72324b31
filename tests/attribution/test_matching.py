"""Matching losses against their formulas, the general path against the short one, and the traps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.attribution.maps import sensitivities
from beatlens.attribution.matching import (
    EWA,
    MATCHINGS,
    SSWA,
    SWA,
    Attribution,
    Classwise,
    attribute,
    attribute_evidence,
    build_matching,
    input_gradient_distance,
    map_distance,
)
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.evidence import EvidenceNet

from ..nets.networks import SMALL, lively
from .attributions import wrap_maps

pytestmark = pytest.mark.rounding
CLASSES = ("a", "b", "c")


def networks() -> tuple[EvidenceNet, EvidenceNet, Tensor]:
    """Teacher and student with different channels, in float64, and a batch for both."""
    teacher = lively(SMALL["residual"], seed=1, classes=CLASSES).double()
    student = lively(SMALL["dense"], seed=2, classes=CLASSES).double()
    torch.manual_seed(3)
    x = torch.randn(5, 1, 300, dtype=torch.float64).cumsum(2) * 0.2
    geometries = teacher.geometry, student.geometry
    assert {g.stride for g in geometries} == {8}
    return teacher, student, x


def window(net: EvidenceNet, x: Tensor, span: int = 160) -> Tensor:
    return net.geometry.trim(x, span)


class Dense(nn.Module):
    """No evidence network: its head is not linear, so sensitivities differ between examples."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, channels, 9, 4)
        self.act = nn.Softplus()  # smooth, so that second derivatives are nowhere in doubt
        self.hidden = nn.Linear(channels, 7)
        self.out = nn.Linear(7, 3)
        for layer in (self.hidden, self.out):  # sensitivities > 0: no map is dead from the start
            nn.init.uniform_(layer.weight, 0.0, 0.7)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.hidden(self.act(self.conv(x)).mean(2))))


@pytest.mark.parametrize("name", MATCHINGS)
def test_any_network_and_layer_can_be_matched(name: str) -> None:
    torch.manual_seed(0)
    teacher, student, x = Dense(6).eval(), Dense(4), torch.randn(3, 1, 80)
    optimizer = torch.optim.Adam(student.parameters(), 0.02)
    losses = []
    for _ in range(60):
        loss = build_matching(name)(
            attribute(student, x, "act", differentiable=True), attribute(teacher, x, "act")
        )
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.shape == ()
    assert 0 <= losses[-1] < 0.8 * losses[0]
    assert all(p.grad is None for p in teacher.parameters())


def test_the_gradient_through_sensitivities_is_the_numerical_one() -> None:
    torch.manual_seed(0)
    teacher = Dense(5).double().eval()
    student = Dense(4).double()
    x = torch.randn(2, 1, 60, dtype=torch.float64)
    theirs = attribute(teacher, x, "act")
    for matching in (SWA(), Classwise(), EWA()):
        loss = matching(attribute(student, x, student.act, differentiable=True), theirs)
        weight = student.hidden.weight
        gradient = torch.autograd.grad(loss, weight, allow_unused=True)[0]
        gradient = torch.zeros_like(weight) if gradient is None else gradient
        for index in ((0, 0), (3, 2), (6, 3)):
            values = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    weight[index] += step
                values.append(
                    matching(attribute(student, x, "act", differentiable=True), theirs).item()
                )
                with torch.no_grad():
                    weight[index] -= step
            slope = (values[0] - values[1]) / 2e-5
            assert gradient[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)
        # EWA does not look behind the layer; the others do, by their second derivative.
        assert (gradient.abs().max() > 1e-6) != isinstance(matching, EWA)


def test_both_paths_show_the_same_of_an_evidence_network() -> None:
    _, net, x = networks()
    x = window(net, x)
    general, short = attribute(net, x, "backbone"), attribute_evidence(net, x)
    torch.testing.assert_close(general.logits, short.logits)
    torch.testing.assert_close(general.activation(), short.activation())
    for c in range(3):
        chosen = torch.full((5,), c)
        torch.testing.assert_close(general.channel_weights(chosen), short.channel_weights(chosen))
        torch.testing.assert_close(short.channel_weights(chosen)[0], net.head.weight[c, :, 0])
    # The short path's maps have the head's bias inside; it is constant over the columns.
    bias = net.head.bias[:, None]
    torch.testing.assert_close(general.class_maps() + bias, short.class_maps())


@pytest.mark.parametrize("matching", [EWA(), SWA(), Classwise()], ids=["ewa", "swa", "classwise"])
def test_both_paths_give_equal_losses_and_equal_parameter_gradients(matching) -> None:
    teacher, student, x = networks()
    parameters = dict(student.named_parameters())
    mine, theirs = window(student, x), window(teacher, x)
    short = matching(attribute_evidence(student, mine), attribute_evidence(teacher, theirs))
    general = matching(
        attribute(student, mine, "backbone", differentiable=True),
        attribute(teacher, theirs, "backbone"),
    )
    torch.testing.assert_close(general, short)
    gradients = [
        torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for loss in (general, short)
    ]
    moved = 0
    for name, one, other in zip(parameters, *gradients, strict=True):
        one, other = (torch.zeros(1) if g is None else g for g in (one, other))
        if name == "head.bias":
            assert one.abs().max() < 1e-12
            assert other.abs().max() < 1e-12
            continue
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14, msg=name)
        moved += bool(one.abs().max() > 1e-7)
    assert moved >= 8


def test_the_papers_loss_is_two_over_t_times_ours() -> None:
    teacher, student, x = networks()
    mine = attribute_evidence(student, window(student, x))
    theirs = attribute_evidence(teacher, window(teacher, x))
    maps = [seen.activation().square().mean(1) for seen in (mine, theirs)]
    columns = maps[0].shape[1]
    normalised = [F.normalize(m, dim=1) for m in maps]
    paper = (normalised[0] - normalised[1]).square().mean()
    torch.testing.assert_close(paper, 2 / columns * EWA()(mine, theirs), rtol=1e-9, atol=0)


def test_ewa_is_one_minus_the_cosine_of_mean_squares() -> None:
    teacher, student, x = networks()
    a, b = student.features(window(student, x)), teacher.features(window(teacher, x))
    expected = 1 - F.cosine_similarity((a**2).mean(1), (b**2).mean(1), dim=1).mean()
    found = EWA()(
        attribute_evidence(student, window(student, x)),
        attribute_evidence(teacher, window(teacher, x)),
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_swa_is_of_the_class_the_teacher_ranks_first() -> None:
    teacher, student, x = networks()
    with torch.no_grad():  # so that the two disagree on the class, whatever the weights are
        teacher.head.bias += torch.tensor([0.0, 50.0, 0.0])
        student.head.bias += torch.tensor([50.0, 0.0, 0.0])
    mine = attribute_evidence(student, window(student, x))
    theirs = attribute_evidence(teacher, window(teacher, x))
    maps = []
    for net in (student, teacher):
        features = net.features(window(net, x))
        maps.append(torch.relu(torch.einsum("k,bkt->bt", net.head.weight[1, :, 0], features)))
    expected = (1 - F.cosine_similarity(*maps, dim=1)).mean()
    torch.testing.assert_close(SWA()(mine, theirs), expected, rtol=1e-9, atol=1e-12)


def test_identical_networks_are_at_no_distance() -> None:
    teacher, _, x = networks()
    seen = attribute_evidence(teacher, window(teacher, x))
    for matching in (EWA(), SWA(), Classwise(), Classwise(centred=False)):
        assert matching(seen, seen).item() == pytest.approx(0, abs=1e-6)
    assert SSWA(0.5)(seen, seen) > 1e-3  # the teacher's channels are dropped, the student's not


@pytest.mark.parametrize("name", MATCHINGS)
@pytest.mark.parametrize("general", [True, False])
def test_the_teacher_gets_no_gradient_and_no_grad_is_touched(name: str, general: bool) -> None:
    teacher, student, x = networks()
    marks = {}
    for net in (teacher, student):
        for parameter in net.parameters():
            parameter.grad = torch.full_like(parameter, 7.0)
            marks[parameter] = parameter.grad
    if general:
        mine = attribute(student, window(student, x), "backbone", differentiable=True)
        theirs = attribute(teacher, window(teacher, x), "backbone")
    else:
        mine = attribute_evidence(student, window(student, x))
        theirs = attribute_evidence(teacher, window(teacher, x))
    loss = build_matching(name)(mine, theirs)
    for parameter, mark in marks.items():
        assert parameter.grad is mark
        assert (mark == 7).all()
    found = torch.autograd.grad(
        loss, list(teacher.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(g is None or not g.any() for g in found)
    loss.backward()
    assert all((p.grad == 7).all() for p in teacher.parameters())
    assert any((p.grad != 7).any() for p in student.parameters())


def make_attribution(activations: Tensor, logits: Tensor) -> Attribution:
    """A network that shows these activations, every channel counting 1."""
    ones = torch.ones(activations.shape[:2])
    return Attribution(
        logits=logits,
        channel_weights=lambda _classes: ones,
        class_maps=lambda: activations,
        activations=activations,
    )


@pytest.mark.parametrize(
    ("fraction", "channels"), [(0.1, 10), (0.3, 16), (0.1, 128), (0.5, 6), (0.0, 6)]
)
def test_sswa_drops_exactly_its_fraction_of_the_teachers_channels(
    fraction: float, channels: int
) -> None:
    # Channel k of the teacher is a spike at column k: the map shows which channels are left.
    teacher = make_attribution(torch.eye(channels)[None], torch.zeros(1, 3))
    matching = SSWA(fraction, seed=4)
    dropped_ever = set()
    for _ in range(30):
        flat = torch.ones(1, 1, channels, requires_grad=True)
        student = Attribution(
            logits=torch.zeros(1, 3),
            channel_weights=lambda _classes: torch.ones(1, 1),
            class_maps=lambda: torch.ones(1, 3, channels),
            activations=flat,
        )
        loss = matching(student, teacher)
        kept = channels - round(fraction * channels)
        # Cosine of a flat map and a map with `kept` equal spikes.
        assert loss.item() == pytest.approx(1 - (kept / channels) ** 0.5, abs=1e-5)
        (gradient,) = torch.autograd.grad(loss, flat)
        # The loss falls where a column with a spike rises: the others are those dropped.
        dropped = set(torch.flatten(gradient > 1e-6).nonzero().flatten().tolist())
        if fraction:
            assert len(dropped) == channels - kept
        dropped_ever |= dropped
    if fraction:
        assert len(dropped_ever) > channels - kept  # drawn anew for every batch


def test_sswa_leaves_the_students_channels_alone() -> None:
    seen_channels = []

    class Watched(SSWA):
        def _kept(self, activations: Tensor) -> Tensor:
            seen_channels.append(activations.shape[1])
            return super()._kept(activations)

    teacher, student, x = networks()
    Watched(0.3)(
        attribute_evidence(student, window(student, x)),
        attribute_evidence(teacher, window(teacher, x)),
    )
    assert seen_channels == [teacher.head.in_channels] != [student.head.in_channels]


def test_sswa_draws_depend_on_the_seed_and_the_batch_number_only() -> None:
    teacher, student, x = networks()
    mine, theirs = (attribute_evidence(net, window(net, x)) for net in (student, teacher))
    one, other = SSWA(0.5, seed=1), SSWA(0.5, seed=1)
    values = [one(mine, theirs).item() for _ in range(6)]
    assert len(set(values)) > 2
    other.load_state_dict({"batches": torch.tensor(3)})
    assert [other(mine, theirs).item() for _ in range(3)] == values[3:]
    assert [SSWA(0.5, seed=2)(mine, theirs).item() for _ in range(6)] != values


def test_a_dead_map_stays_dead_under_swa_but_not_under_classwise() -> None:
    teacher, student, x = networks()
    with torch.no_grad():
        student.head.weight.copy_(-student.head.weight.abs())  # activations are >= 0: maps < 0
    parameters = list(student.parameters())
    found = {}
    for matching in (SWA(), Classwise()):
        mine = attribute_evidence(student, window(student, x))
        loss = matching(mine, attribute_evidence(teacher, window(teacher, x)))
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        found[type(matching)] = max(float(g.abs().max()) for g in gradients if g is not None)
        if isinstance(matching, SWA):
            assert loss.item() == 1
    assert found[SWA] == 0
    assert found[Classwise] > 1e-4


def test_activation_losses_refuse_a_batch_without_activations() -> None:
    seen = wrap_maps(torch.zeros(1, 3, 4), torch.zeros(1, 3))
    for matching in (EWA(), SWA(), SSWA()):
        assert matching.needs_activations
        with pytest.raises(ModelError, match="needs activations"):
            matching(seen, seen)
    assert not Classwise.needs_activations


def test_maps_of_different_lengths_are_compared_at_the_longer_ones_columns() -> None:
    long = torch.linspace(1, 3, 40).repeat(2, 1) ** 2
    short = F.interpolate(long[:, None], 20, mode="linear")[:, 0]
    assert map_distance(long, short).shape == (2,)
    assert map_distance(long, short).max() < 1e-3
    assert map_distance(long, short.flip(1)).min() > 0.1
    stretched = F.interpolate(short[:, None], 40, mode="linear")[:, 0]
    torch.testing.assert_close(map_distance(long, short), map_distance(long, stretched))
    three = torch.rand(2, 3, 20)
    assert map_distance(three, torch.rand(2, 3, 40)).shape == (2, 3)


def test_an_all_zero_map_gives_a_number() -> None:
    zero = torch.zeros(1, 10, requires_grad=True)
    distance = map_distance(zero, torch.ones(1, 10))
    assert distance.item() == 1
    assert torch.isfinite(torch.autograd.grad(distance.sum(), zero)[0]).all()


def test_input_gradients_of_the_teachers_top_class() -> None:
    torch.manual_seed(0)
    teacher, student = Dense(6).double().eval(), Dense(4).double()
    x = torch.randn(3, 1, 60, dtype=torch.float64)
    loss = input_gradient_distance(student, teacher, x)
    classes = teacher(x).argmax(1)
    expected = []
    for b in range(3):
        gradients = []
        for net in (student, teacher):
            one = x[b : b + 1].clone().requires_grad_()
            gradients.append(torch.autograd.grad(net(one)[0, classes[b]], one)[0].flatten())
        expected.append(1 - F.cosine_similarity(*gradients, dim=0))
    torch.testing.assert_close(loss, torch.stack(expected).mean(), rtol=1e-9, atol=1e-12)
    assert input_gradient_distance(teacher, teacher, x).item() == pytest.approx(0, abs=1e-6)
    loss.backward()
    assert student.conv.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in teacher.parameters())


def test_sensitivities_of_a_layer_inside_the_backbone() -> None:
    """The general path is general: at an earlier layer it is Grad-CAM's, not the head's."""
    _, net, x = networks()
    x = window(net, x)
    seen = attribute(net, x, net.backbone[0])
    first = net.backbone[0](x).detach().requires_grad_()
    features = nn.Sequential(*list(net.backbone)[1:])(first)
    logits = net.head(features).mean(2)
    expected = sensitivities(logits, first, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(seen.channel_weights(torch.zeros(5, dtype=torch.int64)), expected)


def test_names_in_recipes() -> None:
    assert build_matching("none") is None
    assert {type(build_matching(name)) for name in MATCHINGS} == {EWA, SWA, SSWA, Classwise}
    with pytest.raises(
        RecipeError, match="'wcam', expected one of none, ewa, swa, sswa, shape, classwise"
    ):
        build_matching("wcam")


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2])
def test_fractions_that_leave_nothing_are_refused(fraction: float) -> None:
    with pytest.raises(RecipeError, match="fraction of dropped channels"):
        SSWA(fraction)
