"""From a budget of bytes to a method's setting, and other functions the weight methods share.

A method's setting is found by packing: constraints are tried on the weights, the weights are
packed, and the largest setting that fits is taken. Where the packed size depends on the values
(entropy coding), training changes it a little; `RESERVE` is left for that.

>>> largest_that_fits(lambda kept: 3 * kept, gentle=100, harsh=0, limit=50, what="pruning")
16
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from beatlens.compression.size import int8_tensor, int8_weights, packed_bytes, weighted_layers
from beatlens.errors import ModelError
from beatlens.nets.constraint import Constraint, Mask, constraint_on, impose
from beatlens.training.loop import Schedule

Layers = dict[str, tuple[nn.Module, str]]
RESERVE = 0.02
"""Share of a budget that is left free before training, since trained weights pack differently."""


def head_name(net: nn.Module) -> str:
    """Name of a network's decision layer: `head` where there is one, else its last with weights.

    >>> head_name(nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)))
    '2'
    """
    names = list(weighted_layers(net))
    return "head" if "head" in names else names[-1]


def covered_layers(net: nn.Module, method: str, *, head: bool) -> Layers:
    """Layers whose weights a method changes: those with weights, without the head if not wanted.

    Raises `ModelError` when there are none.
    """
    layers = weighted_layers(net)
    if layers and not head:
        del layers[head_name(net)]
    if not layers:
        raise ModelError(
            f"{method}: the {type(net).__name__} has no Conv1d or Linear to compress"
            f"{'' if head else ' beside its last layer'}, expected at least one"
        )
    return layers


def refuse_constraints(
    layers: Layers, method: str, allowed: tuple[type[Constraint], ...] = (Mask,)
) -> None:
    """Raise `ModelError` where a layer has a constraint that the method would break."""
    for name, (layer, tensor) in layers.items():
        found = constraint_on(layer, tensor)
        if found is not None and not isinstance(found, allowed):
            raise ModelError(
                f"{method}: weights of {name!r} are held by {found.kind!r} already, which it would "
                f"break; put {method} before that step or leave one of them out"
            )


class Trial:
    """Computes a network's packed size under constraints; the network is not changed.

    Args:
        net: network whose present weights are packed.
        layers: layers of `net` that constraints are tried on.
    """

    def __init__(self, net: nn.Module, layers: Layers) -> None:
        self._weights = read_weights(layers)
        others = (t for name, t in int8_weights(net).items() if name not in layers)
        self._rest = sum(packed_bytes(tensor) for tensor in others)

    def packed_bytes(self, constraints: dict[str, Constraint]) -> int:
        """Packed bytes of the whole network, with `constraints` by layer name on its layers."""
        tensors = (int8_tensor(w, constraints.get(name)) for name, w in self._weights.items())
        return self._rest + sum(packed_bytes(tensor) for tensor in tensors)


def largest_that_fits(
    size_at: Callable[[int], int], *, gentle: int, harsh: int, limit: int, what: str
) -> int:
    """Find the setting nearest to `gentle` whose size is within the limit, by bisection.

    Args:
        size_at: bytes at a whole-numbered setting; must not grow from `gentle` to `harsh`.
        gentle, harsh: the settings of the largest and of the smallest network; either may be the
            larger number.
        limit: bytes.
        what: name of the method, for the message.

    Raises:
        ModelError: the network is too large at `harsh` too.
    """
    if size_at(gentle) <= limit:
        return gentle
    smallest = size_at(harsh)
    if smallest > limit:
        raise ModelError(
            f"{what} cannot reach {limit} packed bytes (the budget less {RESERVE:.0%} in reserve), "
            f"the smallest it reaches alone is {smallest}; raise the budget, or put another method "
            "before it"
        )
    while abs(harsh - gentle) > 1:
        middle = (gentle + harsh) // 2
        if size_at(middle) <= limit:
            harsh = middle
        else:
            gentle = middle
    return harsh


def shorten_schedule(schedule: Schedule, steps: int, *, last: bool = False) -> Schedule:
    """Return a schedule of `steps` steps; all but the `last` keep their last weights, not the best.

    >>> part = shorten_schedule(Schedule(100, 8, 1e-3, validate_every=50), 20)
    >>> part.steps, part.validate_every, part.keep
    (20, 20, 'last')
    """
    steps = max(1, steps)
    every = min(schedule.validate_every, steps)
    if last:
        return replace(schedule, steps=steps, validate_every=every)
    return replace(schedule, steps=steps, validate_every=every, patience=0, keep="last")


def impose_all(layers: Layers, constraints: dict[str, Constraint]) -> None:
    """Put constraints on layers by name; they replace older ones."""
    for name, constraint in constraints.items():
        layer, tensor = layers[name]
        impose(layer, constraint, tensor)


def read_weights(layers: Layers) -> dict[str, Tensor]:
    """Detached weights by layer name, constraints applied: `[out, in, k]`; linear: `[out, in]`."""
    return {name: getattr(layer, tensor).detach() for name, (layer, tensor) in layers.items()}
