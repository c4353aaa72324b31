"""The contract: steps follow each other, what can be refused is refused before any training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from beatlens.compression.contract import (
    Budget,
    Compressed,
    convolutions,
    recalibrate_norms,
    run_steps,
)
from beatlens.compression.methods import METHODS, build_method
from beatlens.compression.size import CHANNEL_BYTES, int8_weights, weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.constraint import Mask, impose
from beatlens.packed import decode_tensor, encode_tensor

from ..nets.networks import SMALL, lively
from .retrainings import crops, make_retraining


@dataclass
class Noted:
    """A step that notes its calls; refuses networks from its `refuses_at`-th check on."""

    name: str
    notes: list[str] = field(default_factory=list)
    refuses: bool = False

    def check(self, net: nn.Module) -> None:
        self.notes.append(f"{self.name} checks")
        if self.refuses:
            raise ModelError(f"{self.name} refuses")

    def __call__(self, net, retraining, budget, report=None) -> Compressed:
        self.notes.append(f"{self.name} runs")
        new = nn.Sequential(net, nn.Identity())
        return Compressed(new, weight_account(new), [{"method": self.name, "event": "done"}])


def test_steps_follow_each_other() -> None:
    net, notes = lively(SMALL["dense"]), []
    steps = [Noted("a", notes), Noted("b", notes)]
    done = run_steps(net, steps, make_retraining(net), Budget(1))
    assert notes == ["a checks", "b checks", "a checks", "a runs", "b checks", "b runs"]
    assert [row["method"] for row in done.log] == ["a", "b"]
    assert done.net[0][0] is net
    assert done.size == weight_account(net)


def test_nothing_runs_where_a_later_step_refuses() -> None:
    net, notes = lively(SMALL["dense"]), []
    with pytest.raises(ModelError, match="b refuses"):
        run_steps(
            net, [Noted("a", notes), Noted("b", notes, True)], make_retraining(net), Budget(1)
        )
    assert "a runs" not in notes
    with pytest.raises(RecipeError, match="no compression steps"):
        run_steps(net, [], make_retraining(net), Budget(1))


def test_the_account_counts_the_bytes_that_are_shipped() -> None:
    net = lively(SMALL["residual"])
    tensors = int8_weights(net)
    assert set(tensors) == {name for name, m in net.named_modules() if isinstance(m, nn.Conv1d)}
    account = weight_account(net)
    assert account.weights == account.int8_bytes == sum(t.size for t in tensors.values())
    assert account.packed_bytes == sum(
        len(encode_tensor(t)) + CHANNEL_BYTES * len(t) for t in tensors.values()
    )
    for name, tensor in tensors.items():
        conv = net.get_submodule(name)
        weight = conv.weight.detach().permute(0, 2, 1).numpy()
        assert tensor.shape == weight.shape
        assert (np.abs(tensor).reshape(len(tensor), -1).max(1) == 127).all()
        step = np.abs(weight).reshape(len(weight), -1).max(1)[:, None, None] / 127
        np.testing.assert_allclose(tensor * step, weight, atol=step.max() * 0.51)
        np.testing.assert_array_equal(decode_tensor(encode_tensor(tensor)), tensor)


def test_the_account_sees_masks() -> None:
    net = lively(SMALL["residual"])
    conv = net.backbone[1].second.conv
    before = weight_account(net)
    mask = torch.zeros_like(conv.weight)
    mask[:, 0] = 1
    impose(conv, Mask(mask))
    after = weight_account(net)
    assert before.nonzero - after.nonzero >= 0.9 * (mask == 0).sum()
    assert after.weights == before.weights
    assert after.packed_bytes < before.packed_bytes


def test_norms_are_recalibrated_to_the_given_batches() -> None:
    net = lively(SMALL["dense"])
    x = [crops(0, 32), crops(32, 32)]
    recalibrate_norms(net, x)
    assert not net.training
    norm = net.backbone[0].norm
    with torch.no_grad():
        seen = torch.cat([net.backbone[0].conv(part) for part in x])
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2)), rtol=1e-4, atol=1e-5)
    assert norm.momentum is not None
    moved = norm.running_mean.clone()
    net.train()(x[0])  # it goes on averaging as before
    assert not torch.equal(norm.running_mean, moved)


def test_a_network_without_convolutions_is_refused() -> None:
    with pytest.raises(ModelError, match="Linear without any Conv1d"):
        convolutions(nn.Linear(2, 2))
    with pytest.raises(RecipeError, match="budget is 0 bytes"):
        Budget(0)


def test_methods_are_found_by_name_with_checked_settings() -> None:
    assert all(callable(build_method(name, {}).check) for name in METHODS)
    assert build_method("unify-weights", {"block": [4, 1]}).block == (4, 1)
    assert build_method("low-bit", {"bits": 3}).bits == 3
    for settings, message in (
        ({"importence": "l1"}, "no setting 'importence', expected one of importance"),
        ({"importance": 3}, "importance is 3, expected str"),
        ({"rounds": True}, "rounds is True, expected int"),
        ({"importance": "l3"}, "importance is 'l3', expected l1"),
    ):
        with pytest.raises(RecipeError, match=message):
            build_method("prune-channels", settings)
    with pytest.raises(RecipeError, match="no setting 'schedule'"):
        build_method("distill", {"schedule": 3})
