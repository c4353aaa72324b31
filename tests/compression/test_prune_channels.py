"""Structured pruning: what is left fits the budget, is a network that can be saved and shipped."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from beatlens.compression.budget import RESERVE
from beatlens.compression.channel_groups import channel_groups, remove_channels
from beatlens.compression.channel_search import ChannelSearch, Widths
from beatlens.compression.contract import Budget, Retraining
from beatlens.compression.importance import l1_importance
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.prune_channels import PruneChannels
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.integer.simulate import simulate
from beatlens.nets.backbones import NetworkSpec, build, read_spec
from beatlens.nets.constraint import Mask, impose
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.windows.labels import SPAN, cut_windows

from ..nets.networks import SMALL, lively
from ..tasks.tracks import ecg
from .own_nets import OwnResidual, build_own_retraining
from .retrainings import crops, make_retraining

SPECS = {
    "dense": NetworkSpec("dense", (8, 12, 12), (8, 8, 12), (2, 2, 2)),
    "depthwise": NetworkSpec("depthwise", (8, 12, 12), (8, 7, 9), (2, 2, 2)),
    "residual": NetworkSpec("residual", (8, 12, 12), (8, 5, 5), (2, 4, 1)),
}
QUICK = PruneChannels(round_to=2, monitor=False, batches=1)


def half_of(net: nn.Module) -> Budget:
    return Budget(weight_account(net).packed_bytes // 2)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """16 strips of ECG, real where there is any, int8 `[16, 1792]`."""
    strips = cut_windows(ecg()[0])
    return strips.windows[np.linspace(0, len(strips) - 1, 16).astype(int)]


@pytest.fixture(scope="module")
def pruned() -> dict[str, EvidenceNet]:
    """A network of each kind, pruned to half its bytes and retrained a little."""
    made = {}
    for kind, spec in SPECS.items():
        net, retraining = lively(spec), make_retraining(lively(spec, seed=1), steps=6)
        made[kind] = QUICK(net, retraining, half_of(net)).net
    return made


@pytest.mark.parametrize("kind", SPECS)
def test_a_pruned_network_is_saved_and_read_again(
    kind: str, pruned: dict[str, EvidenceNet], tmp_path: Path
) -> None:
    net = pruned[kind]
    spec = read_spec(net)
    assert spec.kind == kind
    assert spec != SPECS[kind]
    assert net.geometry == build(SPECS[kind], net.classes).geometry
    save_net(tmp_path / "net.pt", net, spec)
    again, read = load_net(tmp_path / "net.pt")
    assert read == spec == NetworkSpec.from_dict(spec.as_dict())
    assert torch.equal(again(crops(0, 3)), net(crops(0, 3)))


@pytest.mark.parametrize("kind", SPECS)
@torch.no_grad()
def test_a_pruned_network_goes_to_the_device(
    kind: str, pruned: dict[str, EvidenceNet], windows: np.ndarray
) -> None:
    net = QuantizedEvidenceNet(pruned[kind])
    trimmed = np.ascontiguousarray(net.geometry.trim(windows, SPAN))
    x = torch.from_numpy(to_millivolts(trimmed)).unsqueeze(1)
    net.calibrate([x])
    graph = build_graph(net, SPAN)
    golden = simulate(graph, trimmed[:, :, None])["evidence"].transpose(0, 2, 1)
    steps = np.round(net.evidence(x).numpy() / graph.tensors["evidence"].quantization.scale)
    assert np.abs(steps - golden).max() <= 1
    assert (steps == golden).mean() > 0.999
    assert np.unique(golden).size > 50


@pytest.mark.parametrize("kind", [*SPECS, "own"])
def test_the_budget_is_met_and_no_group_could_be_wider(kind: str) -> None:
    torch.manual_seed(0)
    net = OwnResidual().eval() if kind == "own" else lively(SPECS[kind])
    x, widths = crops(0, 2), Widths(2, 0.1)
    groups = channel_groups(net, x)
    search = ChannelSearch(net, x, groups, l1_importance(net, groups), widths)
    whole = weight_account(net).packed_bytes
    for share in (0.7, 0.4):
        limit = int(share * whole)
        removal = search.within(limit, "pruning")
        left = [g.size - len(removal[g.name]) for g in groups]
        account = weight_account(remove_channels(copy.deepcopy(net), x, removal))
        assert account.packed_bytes <= limit
        assert all(width % 2 == 0 for width in left)
        for index, group in enumerate(groups):
            wider = [*left[:index], left[index] + 2, *left[index + 1 :]]
            if wider[index] <= group.size:
                assert search.packed_bytes(tuple(wider)) > limit


def test_the_least_important_channels_of_a_group_go() -> None:
    net, x = lively(SPECS["dense"]), crops(0, 2)
    groups = channel_groups(net, x)
    scores = {g.name: torch.arange(g.size).roll(5).float() for g in groups}
    search = ChannelSearch(net, x, groups, scores, Widths(4))
    for group, gone in zip(groups, search.removal([4] * 3).values(), strict=True):
        expected = scores[group.name].argsort()[: group.size - 4]
        assert gone == sorted(expected.tolist())


def test_widths_are_multiples_or_whole_and_never_below_the_floor() -> None:
    widths = Widths(4, 0.4)
    assert [widths.after(18, n) for n in (0, 1, 2, 3, 6, 17)] == [18, 18, 16, 16, 12, 8]
    assert [widths.after(3, n) for n in (0, 2)] == [3, 3]
    assert [widths.next(18, n) for n in (8, 16, 18)] == [12, 18, 18]
    assert Widths(1, 0.0).after(5, 5) == 1


@pytest.mark.parametrize("importance", ["l1", "taylor", "evidence", "evidence-exact"])
def test_every_importance_prunes_the_residual_network(importance: str) -> None:
    net, retraining = (
        lively(SPECS["residual"]),
        make_retraining(lively(SPECS["residual"], 1), steps=4),
    )
    budget = half_of(net)
    done = replace(QUICK, importance=importance)(net, retraining, budget)
    assert done.size.packed_bytes <= budget.packed_bytes
    assert done.size == weight_account(done.net)
    assert read_spec(done.net).kind == "residual"


def test_evidence_keeps_the_map_better_than_its_opposite_on_ecg(windows: np.ndarray) -> None:
    teacher = lively(SPECS["residual"])
    x = torch.from_numpy(to_millivolts(teacher.geometry.trim(windows, SPAN))).unsqueeze(1)
    retraining = replace(make_retraining(teacher), inputs=lambda net, n: [x] * n)
    groups, removal = replace(QUICK, importance="evidence").chosen(
        teacher, retraining, half_of(teacher).packed_bytes
    )
    opposite = {g.name: [] for g in groups}
    for group in groups:
        stay = [c for c in range(group.size) if c not in removal[group.name]]
        # As many of those that were to stay, filled up with some that were to go.
        opposite[group.name] = [*stay, *removal[group.name]][: len(removal[group.name])]
    alike = []
    for gone in (removal, opposite):
        net = remove_channels(copy.deepcopy(teacher), x, gone)
        with torch.no_grad():
            pair = torch.stack([net.evidence(x), teacher.evidence(x)])
        alike.append(nn.functional.cosine_similarity(*(pair - pair.mean(-1, True)), dim=-1).mean())
    assert alike[0] > alike[1] + 0.1


def test_a_users_own_residual_network_is_pruned() -> None:
    torch.manual_seed(0)
    for settings in ({"importance": "evidence", "layer": "relu"}, {"importance": "taylor"}):
        net = OwnResidual()
        budget = half_of(net)
        done = replace(QUICK, **settings)(net, build_own_retraining(), budget)
        assert done.size.packed_bytes <= budget.packed_bytes
        assert done.net(crops(0, 5)).shape == (5, 3)
        assert done.net.out.out_features == 3
        assert done.net.stem.out_channels == done.net.down.out_channels


def test_rounds_share_the_retrainings_length_and_shrink_by_equal_factors() -> None:
    net, retraining = (
        lively(SPECS["residual"]),
        make_retraining(lively(SPECS["residual"], 1), steps=21),
    )
    whole, budget = weight_account(net).packed_bytes, half_of(net)
    done = replace(QUICK, rounds=3, between=0.4)(net, retraining, budget)
    pruned = [row["bytes"] for row in done.log if row["event"] == "pruned"]
    trained = [row["step"] for row in done.log if row["event"] == "validated"]
    assert trained == [4, 4, 13]
    assert sum(trained) == 21
    for number, size in enumerate(pruned, 1):
        target = whole * ((1 - RESERVE) * budget.packed_bytes / whole) ** (number / 3)
        assert 0.8 * target < size <= target
    assert pruned == sorted(pruned, reverse=True)


def test_the_log_tells_the_isometry_before_and_after() -> None:
    net, retraining = lively(SPECS["dense"]), make_retraining(lively(SPECS["dense"], 1), steps=4)
    done = replace(QUICK, monitor=True)(net, retraining, half_of(net))
    events = ["started", "pruned", "validated", "retrained"]
    assert [row["event"] for row in done.log] == events
    means = [row["jsv_mean"] for row in done.log if "jsv_mean" in row]
    assert len(set(means)) == 3
    assert all(0 < row["jsv_min"] < row["jsv_max"] for row in done.log if "jsv_min" in row)


def test_orthp_makes_pruned_layers_orthogonal_before_training() -> None:
    seen: list[EvidenceNet] = []

    def watched(net: nn.Module) -> nn.Module:
        seen.append(copy.deepcopy(net))
        return retraining.objective(net)

    net, retraining = lively(SPECS["dense"]), make_retraining(lively(SPECS["dense"], 1), steps=2)
    kept = copy.deepcopy(net)
    QUICK_ORTHP = replace(QUICK, reinit="orthp")
    QUICK_ORTHP(net, replace(retraining, objective=watched), half_of(net))
    changed = 0
    for name, layer in seen[0].named_modules():
        if not isinstance(layer, nn.Conv1d):
            continue
        values = torch.linalg.svdvals(layer.weight.detach().flatten(1))
        if layer.weight.shape != kept.get_submodule(name).weight.shape:
            gain = 1.0 if name == "head" else 2.0**0.5
            torch.testing.assert_close(values, torch.full_like(values, gain))
            changed += 1
        else:
            assert torch.equal(layer.weight, kept.get_submodule(name).weight)
    assert changed >= 2


def test_norms_fit_the_pruned_network_before_training() -> None:
    net, retraining = lively(SPECS["dense"]), make_retraining(lively(SPECS["dense"], 1))
    QUICK.prune(net, retraining, half_of(net).packed_bytes)
    x = torch.cat(retraining.inputs(net, 4))
    with torch.no_grad():
        y = net.backbone[1].conv(net.backbone[0](x))
    norm = net.backbone[1].norm
    torch.testing.assert_close(norm.running_mean, y.mean((0, 2)), rtol=0.05, atol=0.05)


def test_weights_that_pack_worse_after_training_are_pruned_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, retraining = lively(SPECS["dense"]), make_retraining(lively(SPECS["dense"], 1), steps=4)
    size = weight_account(net).packed_bytes
    log = QUICK.trim(net, retraining, Budget(size - 10), None)
    assert weight_account(net).packed_bytes <= size - 10
    assert [row["event"] for row in log] == ["pruned", "validated"]
    assert QUICK.trim(net, retraining, Budget(size), None) == []
    monkeypatch.setattr(PruneChannels, "prune", lambda *_: [])
    with pytest.raises(ModelError, match="after 3 further prunings the weights still pack to"):
        QUICK.trim(net, retraining, Budget(100), None)


def test_a_small_network_is_left_alone() -> None:
    net = lively(SMALL["dense"])
    before = copy.deepcopy(net.state_dict())
    done = QUICK(net, make_retraining(lively(SMALL["dense"], 1)), Budget(100_000))
    assert [row["event"] for row in done.log] == ["fits"]
    assert all(torch.equal(before[k], v) for k, v in done.net.state_dict().items())


def untrainable(retraining: Retraining) -> Retraining:
    """The retraining, but its objective fails when a batch is asked of it."""

    def refuse(first: int, size: int) -> tuple[Tensor, ...]:
        raise AssertionError("trained before refusing")

    return replace(retraining, batches=refuse)


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_budget_out_of_reach_is_refused_before_training(rounds: int) -> None:
    net = lively(SPECS["residual"])
    retraining = untrainable(make_retraining(lively(SPECS["residual"], 1)))
    method = replace(QUICK, rounds=rounds)
    with pytest.raises(
        ModelError, match=r"cannot reach 19\d packed bytes.*, the smallest .* is \d\d\d;"
    ):
        method(net, retraining, Budget(200))


def grouped() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 8, 3), nn.Conv1d(8, 8, 3, groups=4), nn.Conv1d(8, 2, 1))


def masked() -> nn.Module:
    net = lively(SMALL["residual"])
    impose(net.backbone[1].first.conv, Mask(torch.ones(6, 4, 5)))
    return net


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv1d(1, 4, 3), nn.Parameter(torch.ones(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv(x) * self.scale).mean(2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "Sequential without any Conv1d"),
        (lambda: QuantizedEvidenceNet(lively(SMALL["dense"])), "prune before quantising"),
        (masked, r"weights of 'backbone.1.first.conv' are held by a constraint"),
        (grouped, "'1' has 4 groups of 8 channels, expected 1 or depthwise"),
        (Scaled, "'the network', a Scaled, has parameters of its own"),
        (lambda: nn.Sequential(nn.Conv1d(1, 4, 3), nn.GroupNorm(2, 4)), "'1', a GroupNorm, has"),
    ],
)
def test_what_it_cannot_handle_is_refused_by_check(make, words: str) -> None:
    with pytest.raises(ModelError, match=words) as refusal:
        PruneChannels().check(make())
    assert str(refusal.value).startswith("prune-channels: ")


def test_a_network_without_evidence_needs_a_layer() -> None:
    net = OwnResidual()
    PruneChannels("taylor").check(net)
    PruneChannels("evidence", layer="relu").check(net)
    for layer in (None, "nowhere"):
        with pytest.raises(ModelError, match=f"but `layer` is {layer!r}; its layers: stem, norm"):
            PruneChannels("evidence", layer=layer).check(net)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"importance": "l2"}, "importance is 'l2', expected l1, taylor, evidence or"),
        ({"reinit": "yes"}, "reinit is 'yes'"),
        ({"rounds": 0}, "rounds are 0"),
        ({"between": 1.0}, "between is 1.0"),
        ({"round_to": 0}, "round_to is 0 channels"),
        ({"floor": 1.5}, "floor is 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        PruneChannels(**settings)
