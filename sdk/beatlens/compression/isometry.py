"""Dynamical isometry: measure how well signals pass a pruned network, and improve it.

A network is easy to train when the singular values of its input-output Jacobian are near 1 (Saxe,
McClelland & Ganguli, ICLR 2014). Pruning breaks this, which is why larger learning rates seem to
win (Wang, Qin, Bai & Fu, "Dynamical Isometry: The Missing Ingredient for Neural Network Pruning",
arXiv 2105.05916). `orthogonalise` is that work's OrthP: the pruned weights are replaced by the
orthogonal part of their QR decomposition, which keeps the space they span.
`jacobian_singular_values` is the monitor.

Batch norm makes the scale of a filter arbitrary, so OrthP changes directions only where it
follows; that it does not help residual networks with batch norm is known (Wang & Fu, ICLR 2023).

>>> conv = nn.Conv1d(2, 3, 5)
>>> orthogonalise(conv, gain=2.0)
>>> rows = conv.weight.detach().flatten(1)
>>> torch.allclose(rows @ rows.T, 4 * torch.eye(3), atol=1e-5)
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet

RELU_GAIN = 2.0**0.5
COLUMNS, INPUTS = 4, 4
"""Columns of evidence (each costs a backward pass per class) and inputs that logged figures use."""


@torch.no_grad()
def orthogonalise(layer: nn.Conv1d | nn.Linear, gain: float = RELU_GAIN) -> None:
    """Replace a layer's weights, in place, by orthonormal rows or columns times a gain (OrthP).

    The weights, flattened to `[out, in * k]` and transposed where there are fewer rows than
    columns, are decomposed into `Q R` and replaced by `Q sign(diag R)` transposed back: the
    Gram-Schmidt basis with the signs of the weights. In a depthwise convolution each filter is
    treated by itself.
    """
    weight = layer.weight
    groups = layer.groups if isinstance(layer, nn.Conv1d) else 1
    parts = [_orthogonal(part.flatten(1)) for part in weight.chunk(groups)]
    weight.copy_(gain * torch.cat(parts).view_as(weight))


def _orthogonal(rows: Tensor) -> Tensor:
    """The orthonormal matrix `[out, n]` nearest in Gram-Schmidt's sense to `rows [out, n]`."""
    tall = rows.T if rows.shape[0] < rows.shape[1] else rows
    q, r = torch.linalg.qr(tall)
    signs = torch.where(r.diagonal() < 0, -1.0, 1.0)
    basis: Tensor = q * signs
    return basis.T if rows.shape[0] < rows.shape[1] else basis


def orthogonalise_pruned(net: nn.Module, layers: Iterable[str], outputs: Iterable[str]) -> None:
    """OrthP on layers by name: gain sqrt 2, as for a ReLU, but 1 for layers that give the output.

    (Two convolutions with nothing but a batch norm between them would want 1 as well; batch norm
    undoes the gain there.)
    """
    last = set(outputs)
    for name in layers:
        layer = net.get_submodule(name)
        if isinstance(layer, nn.Conv1d | nn.Linear):
            orthogonalise(layer, 1.0 if name in last else RELU_GAIN)


def jacobian_singular_values(net: nn.Module, x: Tensor, *, of: str = "evidence") -> Tensor:
    """Singular values of the Jacobian of a network's output with respect to its input, by input.

    Exact: all rows of the Jacobian by reverse-mode differentiation, batched (`torch.func.jacrev`
    under `vmap`), in `eval()` mode, so with batch norm's running statistics.

    Args:
        net: any network `x -> logits [B, C]`; left as it was.
        x: inputs `[B, leads, N]`.
        of: `evidence`, all values of the map `[C, T]` of an `EvidenceNet`, T as `x` gives it; or
            `logits`.

    Returns:
        `[B, min(outputs, leads * N)]`, largest first. For evidence in logits per millivolt.

    Raises:
        ModelError: `of` is unknown, or the network has no evidence.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    >>> net[1].weight.data = torch.tensor([[3.0, 0], [0, 0.5]])
    >>> jacobian_singular_values(net, torch.zeros(1, 1, 2), of="logits").tolist()
    [[3.0, 0.5]]
    """
    output = _choose_output(net, of)
    training = net.training
    net.eval()
    try:
        with torch.no_grad():  # of the parameters; jacrev keeps its own graph
            rows = torch.func.jacrev(lambda one: output(one[None]).flatten())
            jacobians = torch.func.vmap(rows)(x)
    finally:
        net.train(training)
    values: Tensor = torch.linalg.svdvals(jacobians.flatten(2))
    return values


def _choose_output(net: nn.Module, of: str) -> Callable[[Tensor], Tensor]:
    if of == "logits":
        return net
    if of != "evidence":
        raise ModelError(f"the Jacobian's output is {of!r}, expected evidence or logits")
    if not isinstance(net, EvidenceNet):
        raise ModelError(f"a {type(net).__name__} has no evidence, expected of='logits'")
    return net.evidence


def isometry_figures(net: nn.Module, x: Tensor, columns: int = COLUMNS) -> dict[str, float]:
    """Mean, least and largest Jacobian singular value over the first inputs of a batch, for a log.

    Of the evidence where there is one, over `columns` columns in the middle of `x`; of the logits
    of the whole of `x` otherwise.
    """
    x = x[:INPUTS]
    if isinstance(net, EvidenceNet):
        length = min(net.geometry.input_length(columns), x.shape[2])
        first = (x.shape[2] - length) // 2
        values = jacobian_singular_values(net, x[:, :, first : first + length])
    else:
        values = jacobian_singular_values(net, x, of="logits")
    return {
        "jsv_mean": float(values.mean()),
        "jsv_min": float(values.min()),
        "jsv_max": float(values.max()),
    }
