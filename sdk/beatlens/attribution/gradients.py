"""Attributions of samples: gradients with respect to the input, and maps computed from them.

Conventions are those of `maps`. Methods: guided backpropagation (Springenberg et al. 2015,
sec. 3.4), guided Grad-CAM (Selvaraju et al. 2017, sec. 3.2), integrated gradients (Sundararajan et
al. 2017, eq. 1).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from beatlens.attribution.maps import grad_cam, target_logits
from beatlens.errors import ModelError


def input_gradients(
    model: nn.Module, x: Tensor, targets: int | Tensor, *, create_graph: bool = False
) -> Tensor:
    """Compute the gradient of the target's logit with respect to the input: `[B, leads, N]`, logit
    per mV.

    Args:
        model: `x -> logits [B, C]`.
        x: `[B, leads, N]`.
        targets: class, or class of every example.
        create_graph: return gradients that can be differentiated with respect to the parameters.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        total = target_logits(model(x), targets).sum()
        (gradient,) = torch.autograd.grad(total, x, create_graph=create_graph)
    return gradient


def integrated_gradients(
    model: nn.Module,
    x: Tensor,
    targets: int | Tensor,
    *,
    baseline: Tensor | None = None,
    steps: int = 50,
) -> Tensor:
    """Compute integrated gradients from a baseline along a line, by Gauss-Legendre quadrature.

    The attributions of an example sum to `logit(x) - logit(baseline)` as `steps` grows.

    Args:
        model: `x -> logits [B, C]`.
        x: `[B, leads, N]`.
        targets: class, or class of every example.
        baseline: broadcast against `x`; None is the flat line, 0 mV.
        steps: number of gradients averaged; each costs one forward and backward pass of the batch.

    Returns:
        `[B, leads, N]` in logit units, detached.

    Raises:
        ModelError: `steps` below 1.

    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Conv1d(1, 2, 5), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    >>> x = torch.randn(1, 1, 20)
    >>> total = integrated_gradients(net, x, 1).sum()
    >>> bool(torch.isclose(total, (net(x) - net(0 * x))[0, 1], atol=1e-5))
    True
    """
    if steps < 1:
        raise ModelError(f"steps is {steps}, expected at least 1")
    start = torch.zeros_like(x) if baseline is None else baseline.expand_as(x)
    nodes, node_weights = np.polynomial.legendre.leggauss(steps)
    average = torch.zeros_like(x)
    for node, weight in zip((1 + nodes) / 2, node_weights / 2, strict=True):
        point = start + float(node) * (x - start)
        average += float(weight) * input_gradients(model, point, targets)
    return (average * (x - start)).detach()


class _GuidedReLU(TorchFunctionMode):
    """While active, every ReLU, module or function, passes positive gradients back only."""

    RELUS = frozenset(
        (F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
    )

    def __init__(self) -> None:
        super().__init__()
        self.guided = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in self.RELUS and result.requires_grad:
            result.register_hook(lambda gradient: gradient.clamp(min=0))
            self.guided += 1
        return result


def guided_gradients(model: nn.Module, x: Tensor, targets: int | Tensor) -> Tensor:
    """Guided backpropagation: input gradients with every ReLU passing back positive values only.

    ReLUs called as functions inside a `forward` are guided as well as `nn.ReLU` modules (captum
    guides modules only).

    Args:
        model: `x -> logits [B, C]`.
        x: `[B, leads, N]`.
        targets: class, or class of every example.

    Returns:
        `[B, leads, N]`.

    Raises:
        ModelError: the network uses no ReLU, so nothing would be guided.
    """
    with _GuidedReLU() as mode:
        gradients = input_gradients(model, x, targets)
    if not mode.guided:
        raise ModelError(
            f"{type(model).__name__} uses no ReLU, so guided backpropagation would be plain "
            "gradients; use input_gradients"
        )
    return gradients


def guided_grad_cam(
    model: nn.Module,
    layer: str | nn.Module,
    x: Tensor,
    targets: int | Tensor,
    *,
    stride: int | None = None,
    left: int = 0,
) -> Tensor:
    """Guided Grad-CAM: guided gradients times the Grad-CAM map, expanded to samples.

    Args:
        model: `x -> logits [B, C]`.
        layer: the layer of the Grad-CAM map.
        x: `[B, leads, N]`.
        targets: class, or class of every example.
        stride: samples per column of the layer. None stretches the map over the whole input
            (nearest column), as captum does; right only for a padded network.
        left: samples of context before the first column.

    Returns:
        `[B, leads, N]`, zero outside the columns' samples. As in `grad_cam` weights are sums over
        columns; captum's, with means, are these divided by T.
    """
    maps = grad_cam(model, layer, x, targets)
    if stride is None:
        expanded = F.interpolate(maps[:, None], x.shape[-1], mode="nearest")
    else:
        expanded = expand_map(maps, x.shape[-1], stride, left=left)[:, None]
    return expanded * guided_gradients(model, x, targets)


def segment_map(
    attribution: Tensor, stride: int, *, left: int = 0, columns: int | None = None
) -> Tensor:
    """Sum an attribution of samples over columns, to compare it with a column map.

    Values are summed with their signs, so that totals, as of integrated gradients, stay. Column `t`
    is samples `[left + stride * t, left + stride * (t + 1))`.

    Args:
        attribution: `[B, N]`, or `[B, leads, N]` whose leads are summed.
        stride: samples per column.
        left: samples of context before the first column (`Geometry.left`).
        columns: number of columns T; None is as many as fit.

    Returns:
        `[B, T]`.

    Raises:
        ModelError: the columns do not fit into the samples.

    >>> segment_map(torch.arange(6.0)[None], 2, left=1, columns=2).tolist()
    [[3.0, 7.0]]
    """
    if attribution.ndim == 3:
        attribution = attribution.sum(dim=1)
    samples = attribution.shape[-1]
    if stride < 1 or left < 0:
        raise ModelError(f"stride {stride} and left {left}: expected stride >= 1 and left >= 0")
    if columns is None:
        columns = (samples - left) // stride
    if columns < 1 or left + columns * stride > samples:
        raise ModelError(
            f"{columns} columns of {stride} samples after {left} samples of context do not fit "
            f"into {samples} samples; give the geometry the attribution was computed with"
        )
    span = attribution[:, left : left + columns * stride]
    return span.reshape(-1, columns, stride).sum(dim=-1)


def expand_map(maps: Tensor, samples: int, stride: int, *, left: int = 0) -> Tensor:
    """Give every sample its column's value: `[B, T]` to `[B, samples]`, zero outside the columns.

    Raises:
        ModelError: the columns do not fit into the samples.

    >>> expand_map(torch.tensor([[1.0, 2.0]]), 6, 2, left=1).tolist()
    [[0.0, 1.0, 1.0, 2.0, 2.0, 0.0]]
    """
    right = samples - left - maps.shape[-1] * stride
    if right < 0 or left < 0:
        raise ModelError(
            f"{maps.shape[-1]} columns of {stride} samples after {left} samples of context do "
            f"not fit into {samples} samples"
        )
    return F.pad(maps.repeat_interleave(stride, dim=-1), (left, right))
