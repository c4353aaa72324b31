"""Faithfulness of maps: deletion, insertion and weight randomisation.

Deletion (Samek et al. 2017; Petsiuk et al. 2018): columns are deleted from the signal in the order
of the map, highest first, and the decision is recorded. Insertion: the signal starts without any of
its columns, and they are inserted in that order. Column `t` is samples `[left + stride * t, left +
stride * (t + 1))` of the input; the context on both sides is not changed.

Replacement of deleted samples (`fill`):

- "interpolate": a straight line between the nearest samples that are left on both sides (a
  constant where samples are left on one side only). It makes no steps, which the network might
  classify as a beat.
- "baseline": the median of each lead over the columns' samples (of an even number of samples the
  lower middle one, as in torch).

Order to compare with (`control`):

- "random": a random order of columns. It first deletes isolated columns, which interpolation nearly
  restores, so that *every* smooth map is better than it.
- "shifted": the map's own values, rolled by a random number of columns. It deletes runs of columns
  as long as the map's, at other places: a better map has the right *place*.

Recorded value (`watch`): the "probability" of the target class, or its "logit". Take the logit
where classes exclude each other and the target is a difference of two of them.

Weight randomisation (Adebayo et al., NeurIPS 2018): a map that hardly changes when the network's
last layers are randomised does not explain the network.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from torch import Tensor, nn

from beatlens.attribution.fidelity import Fidelity, fidelity
from beatlens.attribution.gradients import expand_map
from beatlens.attribution.maps import target_logits
from beatlens.errors import ModelError

Fill = Literal["interpolate", "baseline"]
Control = Literal["random", "shifted"]
Watch = Literal["probability", "logit"]


@dataclass(frozen=True)
class FaithfulnessCurves:
    """Probability, or logit, of the target class as columns are deleted or inserted.

    Attributes:
        fraction: `[F]`, share of columns deleted or inserted, 0 to 1.
        by_map: `[B, F]`, in the map's order.
        by_control: `[B, F]`, in the control's order, averaged over its repeats.
        area_between: `[B]`, area between the two curves, positive where the map's order is better:
            lower than the control in deletion, higher in insertion. Range -1 to 1 of
            probabilities; of logits, in logits.
    """

    fraction: NDArray[np.float64]
    by_map: NDArray[np.float64]
    by_control: NDArray[np.float64]
    area_between: NDArray[np.float64]


def deletion(
    model: nn.Module,
    x: Tensor,
    maps: Tensor,
    targets: int | Tensor,
    *,
    stride: int,
    left: int = 0,
    steps: int = 20,
    fill: Fill = "interpolate",
    control: Control = "random",
    repeats: int = 3,
    seed: int = 0,
    watch: Watch = "probability",
) -> FaithfulnessCurves:
    """Delete columns from the input, highest in the map first.

    Costs `(1 + repeats) * (steps + 1)` forward passes of the batch.

    Args:
        model: `x -> logits [B, C]`, in `eval()`.
        x: `[B, leads, N]`.
        maps: `[B, T]`, the map of each example's target class; columns of equal value are taken
            in a random order.
        targets: class, or class of every example.
        stride: samples per column.
        left: samples of context before the first column.
        steps: number of equal steps to all columns.
        fill: what takes the place of a deleted column.
        control: the order to compare with.
        repeats: number of control orders to average over.
        seed: of the control's orders and of the order within ties.
        watch: value of the target class that is recorded: "probability" or "logit".

    Raises:
        ModelError: columns that do not fit into the input, `steps` or `repeats` below 1, or an
            unknown `fill`, `control` or `watch`.
    """
    ranks = _orders(maps, steps, control, repeats, seed)
    return _curves(
        lambda kept: _decide(
            model, take_out(x, ~kept, stride, left=left, fill=fill), targets, watch
        ),
        lambda rank, count: rank >= count,
        ranks,
        steps,
        sign=-1,
    )


def insertion(
    model: nn.Module,
    x: Tensor,
    maps: Tensor,
    targets: int | Tensor,
    *,
    stride: int,
    left: int = 0,
    steps: int = 20,
    fill: Fill = "interpolate",
    control: Control = "random",
    repeats: int = 3,
    seed: int = 0,
    watch: Watch = "probability",
) -> FaithfulnessCurves:
    """Insert columns into an input without any, highest in the map first.

    Arguments, result and errors as of `deletion`.
    """
    ranks = _orders(maps, steps, control, repeats, seed)
    return _curves(
        lambda kept: _decide(
            model, take_out(x, ~kept, stride, left=left, fill=fill), targets, watch
        ),
        lambda rank, count: rank < count,
        ranks,
        steps,
        sign=1,
    )


def take_out(
    x: Tensor, columns: Tensor, stride: int, *, left: int = 0, fill: Fill = "interpolate"
) -> Tensor:
    """Replace the samples of columns by a straight line or by the lead's median.

    Args:
        x: `[B, leads, N]`.
        columns: bool `[B, T]`, the columns to take out.
        stride: samples per column.
        left: samples of context before the first column.
        fill: "interpolate" or "baseline", see the module. An example of which no sample is left is
            filled with the median in both cases.

    Returns:
        `[B, leads, N]`, a new tensor.

    Raises:
        ModelError: columns that do not fit into the input, or an unknown `fill`.

    >>> x = torch.tensor([[[0.0, 9.0, 9.0, 3.0]]])
    >>> take_out(x, torch.tensor([[True]]), 2, left=1)
    tensor([[[0., 1., 2., 3.]]])
    """
    if fill not in ("interpolate", "baseline"):
        raise ModelError(f"fill is {fill!r}, expected 'interpolate' or 'baseline'")
    samples = x.shape[-1]
    gone = expand_map(columns.float(), samples, stride, left=left) > 0
    span = x[..., left : left + stride * columns.shape[-1]]
    filler = span.median(dim=-1, keepdim=True).values.expand_as(x)
    if fill == "interpolate":
        filler = torch.where(gone.all(dim=-1)[:, None, None], filler, _bridges(x, gone))
    return torch.where(gone[:, None], filler, x)


def randomised(model: nn.Module, layers: Iterable[str], *, seed: int = 0) -> nn.Module:
    """Return a copy of a network with new random weights in some layers, as at construction.

    Args:
        model: any network; not changed.
        layers: dotted names; everything inside a named layer is randomised.
        seed: of the new weights; torch's global random state is not changed.

    Raises:
        ModelError: there is no such layer, it has no weights, or no `reset_parameters()`.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    >>> other = randomised(net, ["1"])
    >>> torch.equal(other[0].weight, net[0].weight), torch.equal(other[1].weight, net[1].weight)
    (True, False)
    """
    twin = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in layers:
            try:
                layer = twin.get_submodule(name)
            except AttributeError:
                names = ", ".join(name for name, _ in model.named_modules() if name)
                raise ModelError(f"the model has no layer {name!r}; its layers: {names}") from None
            weighted = [m for m in layer.modules() if list(m.parameters(recurse=False))]
            if not weighted:
                raise ModelError(f"layer {name!r} has no weights to randomise; name another one")
            for module in weighted:
                reset = getattr(module, "reset_parameters", None)
                if not callable(reset):
                    raise ModelError(
                        f"{type(module).__name__} in layer {name!r} has no reset_parameters(), "
                        "so its weights cannot be randomised; give it one or leave it out"
                    )
                reset()
    return twin


def weight_randomisation(
    model: nn.Module,
    layers: Sequence[str],
    compute_maps: Callable[[nn.Module], NDArray[np.generic]],
    predicted: NDArray[np.bool_],
    *,
    seed: int = 0,
) -> dict[str, Fidelity]:
    """Compare a network's maps with its maps after randomising layers, one more at each step.

    Args:
        model: the network whose maps are checked.
        layers: dotted names from the head downwards; at each step one more is randomised.
        compute_maps: gives the maps `[S, C, T]` of a network over fixed strips.
        predicted: bool `[S, C]`, what the intact network predicts.
        seed: of the new weights.

    Returns:
        Per name, in the order given: fidelity with this layer and all before it randomised. A
        sound map is at the level of `fidelity.shuffled_floor` or below. Randomising the head can
        flip signs, so look at the magnitude of the correlations over several seeds.

    Raises:
        ModelError: as `randomised`.
    """
    intact = compute_maps(model)
    return {
        name: fidelity(
            intact, compute_maps(randomised(model, layers[: index + 1], seed=seed)), predicted
        )
        for index, name in enumerate(layers)
    }


def _decide(
    model: nn.Module, x: Tensor, targets: int | Tensor, watch: Watch
) -> NDArray[np.float64]:
    """Probability or logit of the target class, `[B]`."""
    if watch not in ("probability", "logit"):
        raise ModelError(f"watch is {watch!r}, expected 'probability' or 'logit'")
    with torch.no_grad():
        found = target_logits(model(x), targets)
    found = found.sigmoid() if watch == "probability" else found
    return found.double().cpu().numpy()


def _orders(maps: Tensor, steps: int, control: Control, repeats: int, seed: int) -> list[Tensor]:
    """Rank of every column `[B, T]`, 0 taken first: the map's own, then the control's."""
    if maps.ndim != 2 or steps < 1 or repeats < 1:
        raise ModelError(
            f"maps {tuple(maps.shape)}, steps {steps}, repeats {repeats}: expected maps [B, T] and "
            "at least 1 step and 1 repeat"
        )
    if control not in ("random", "shifted"):
        raise ModelError(f"control is {control!r}, expected 'random' or 'shifted'")
    generator = torch.Generator().manual_seed(seed)
    values = maps.detach().cpu()
    batch, columns = values.shape

    def other() -> Tensor:
        if control == "random":
            return torch.rand(batch, columns, generator=generator)
        by = torch.randint(1, max(columns, 2), (batch, 1), generator=generator)
        return values.gather(1, (torch.arange(columns) + by) % columns)

    orders = [values, *(other() for _ in range(repeats))]
    return [_ranks(order, generator).to(maps.device) for order in orders]


def _ranks(values: Tensor, generator: torch.Generator) -> Tensor:
    """Rank of every column, highest value first, equal values in a random order."""
    shuffle = torch.rand(values.shape, generator=generator).argsort(dim=-1)
    falling = values.gather(1, shuffle).argsort(dim=-1, descending=True, stable=True)
    return shuffle.gather(1, falling).argsort(dim=-1)


def _curves(
    decide: Callable[[Tensor], NDArray[np.float64]],
    kept: Callable[[Tensor, int], Tensor],
    ranks: list[Tensor],
    steps: int,
    *,
    sign: int,
) -> FaithfulnessCurves:
    """Decisions after every step, in the map's order (the first of `ranks`) and the control's."""
    columns = ranks[0].shape[-1]
    counts = np.linspace(0, columns, min(steps, columns) + 1).round().astype(int)
    runs = [np.stack([decide(kept(rank, int(n))) for n in counts], axis=-1) for rank in ranks]
    fraction = counts / columns
    by_map, by_control = runs[0], np.mean(runs[1:], axis=0)
    area = trapezoid(sign * (by_map - by_control), fraction, axis=-1)
    return FaithfulnessCurves(fraction, by_map, by_control, area)


def _bridges(x: Tensor, gone: Tensor) -> Tensor:
    """Straight lines `[B, leads, N]` over the samples that are gone `[B, N]`, flat at the ends."""
    last = x.shape[-1] - 1
    index = torch.arange(last + 1, device=x.device).expand_as(gone)
    before = index.masked_fill(gone, -1).cummax(dim=-1).values
    after = index.masked_fill(gone, last + 1).flip(-1).cummin(dim=-1).values.flip(-1)
    before, after = (
        torch.where(before < 0, after, before).clamp(max=last),
        torch.where(after > last, before, after).clamp(min=0),
    )
    share = (index - before).to(x.dtype) / (after - before).clamp(min=1)
    start, stop = (x.gather(-1, at[:, None].expand_as(x)) for at in (before, after))
    return torch.lerp(start, stop, share[:, None])
