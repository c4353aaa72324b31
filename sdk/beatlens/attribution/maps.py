"""Attribution maps of any torch network at a layer: CAM, Grad-CAM and their parts.

A network is any `nn.Module` with `model(x[B, leads, N]) -> logits[B, C]`; a layer is a submodule
(or its dotted name) whose output is an activation `A[B, K, T]`. Class `c` is chosen by
`targets`: one int for the whole batch, or one per example, `int64 [B]`. Maps with respect to the
input are in `gradients`.

All gradients come from `torch.autograd.grad`, never from `.backward()`, so no parameter's `.grad`
is ever touched. All gradients are of the *logit*. The gradient of a batch is taken in one pass,
which is each example's own gradient only where examples do not influence each other: put a
network with batch normalisation into `eval()` before explaining it.

Methods: CAM (Zhou et al. 2016, sec. 2), Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from beatlens.errors import ModelError


class Capture:
    """The output of one layer in the latest forward pass; made and filled by `captured`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._value: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """The layer's output in the latest forward pass, part of the graph if one was recorded.

        Raises:
            ModelError: no forward pass has gone through the layer yet.
        """
        if self._value is None:
            raise ModelError(
                f"layer {self._name!r} gave no output: no forward pass went through it; "
                "run the model inside the `with captured(...)` block, or name a layer it uses"
            )
        return self._value


@contextmanager
def captured(model: nn.Module, layer: str | nn.Module) -> Iterator[Capture]:
    """Capture one layer's output in the forward passes inside the block.

    The network computes on a copy of the captured tensor, so an in-place activation behind the
    layer cannot change what was captured. Where gradients are being recorded and nothing before
    the layer needs one (a frozen network), the captured tensor is made to need one, so that
    gradients with respect to it exist. A layer used several times in one pass gives its last use.

    Args:
        model: any network.
        layer: a submodule of it, or its dotted name as in `model.named_modules()`.

    Raises:
        ModelError: there is no such layer, or what it gives is not a tensor.

    >>> net = nn.Sequential(nn.Conv1d(1, 3, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    >>> with captured(net, "1") as activation:
    ...     logits = net(torch.zeros(2, 1, 20))
    >>> tuple(activation.value.shape)
    (2, 3, 16)
    """
    module = _submodule(model, layer)
    capture = Capture(str(layer) if isinstance(layer, str) else type(layer).__name__)

    def keep(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise ModelError(
                f"layer {capture._name!r} gives {type(output).__name__}, expected a tensor "
                "[B, K, T]; name a layer inside it"
            )
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        capture._value = output
        return output.clone()

    handle = module.register_forward_hook(keep)
    try:
        yield capture
    finally:
        handle.remove()


def cam(activations: Tensor, head_weights: Tensor, bias: Tensor | None = None) -> Tensor:
    """Class activation map, signed: `M[b, c, t] = sum_k W[c, k] A[b, k, t] (+ bias[c])`.

    With the head's bias, the mean over columns of this map is the logit of a network that
    averages over columns and has one linear head.

    Args:
        activations: `[B, K, T]`, the last activation.
        head_weights: `[C, K]`; a 1x1 convolution's `[C, K, 1]` is taken as well.
        bias: `[C]` or None.

    Returns:
        `[B, C, T]` in logit units.

    Raises:
        ModelError: the shapes do not belong together.

    >>> cam(torch.ones(1, 2, 3), torch.tensor([[1.0, 2.0]])).tolist()
    [[[3.0, 3.0, 3.0]]]
    """
    weights = head_weights.squeeze(-1) if head_weights.ndim == 3 else head_weights
    if activations.ndim != 3 or weights.ndim != 2 or weights.shape[1] != activations.shape[1]:
        raise ModelError(
            f"head weights {tuple(head_weights.shape)} do not fit activations "
            f"{tuple(activations.shape)}; expected [C, K] and [B, K, T] with one K"
        )
    maps = torch.einsum("ck,bkt->bct", weights, activations)
    return maps if bias is None else maps + bias[:, None]


def evidence_map(model: nn.Module, x: Tensor) -> Tensor:
    """The evidence `[B, C, T]` of an evidence network: what its `evidence(x)` gives.

    Raises:
        ModelError: the network has no `evidence`; use `grad_cam` for such a network.
    """
    evidence = getattr(model, "evidence", None)
    if not callable(evidence):
        raise ModelError(
            f"{type(model).__name__} has no evidence(x), expected an evidence network; "
            "use grad_cam with a named layer instead"
        )
    maps = evidence(x)
    if not isinstance(maps, Tensor) or maps.ndim != 3:
        raise ModelError(f"{type(model).__name__}.evidence(x) must give a tensor [B, C, T]")
    return maps


def sensitivities(
    logits: Tensor, activation: Tensor, targets: int | Tensor, *, create_graph: bool = False
) -> Tensor:
    """Channel weights of Grad-CAM: `a[b, k] = sum_t d logit[b, target_b] / d A[b, k, t]`.

    The *sum* over columns, as attribution matching writes it, so that with mean pooling and one
    linear head `a[b, k]` is the head weight `W[target, k]` itself. Selvaraju et al. and captum
    take the *mean*: their weights are these divided by T.

    Args:
        logits: `[B, C]` of a forward pass that recorded a graph.
        activation: `[B, K, T]` captured in that pass.
        targets: class, or class of every example.
        create_graph: record a graph of the result too, for a loss that is differentiated through
            the weights (double backward). The graph of `logits` is kept in both cases.

    Returns:
        `[B, K]`.

    Raises:
        ModelError: the activation is not `[B, K, T]`, or a target is not a class.
    """
    if activation.ndim != 3:
        raise ModelError(
            f"the layer gives an activation of shape {tuple(activation.shape)}, expected "
            "[B, K, T]; name a layer before the pooling"
        )
    total = target_logits(logits, targets).sum()
    (gradient,) = torch.autograd.grad(
        total, activation, create_graph=create_graph, retain_graph=True
    )
    return gradient.sum(dim=-1)


def weighted_map(activation: Tensor, weights: Tensor, *, relu: bool = True) -> Tensor:
    """Collapse channels: `M[b, t] = sum_k a[b, k] A[b, k, t]`, negative values cut if `relu`.

    Args:
        activation: `[B, K, T]`.
        weights: `[B, K]`, such as `sensitivities` gives.
        relu: cut negative values, as Grad-CAM does.

    Returns:
        `[B, T]`.
    """
    maps = torch.einsum("bk,bkt->bt", weights, activation)
    return maps.relu() if relu else maps


def grad_cam(
    model: nn.Module,
    layer: str | nn.Module,
    x: Tensor,
    targets: int | Tensor,
    *,
    relu: bool = True,
    create_graph: bool = False,
) -> Tensor:
    """Grad-CAM at a layer: activations weighted by the summed gradient of the target's logit.

    `M = relu(sum_k a_k A_k)`, `a_k = sum_t d y_c / d A_k(t)`; captum's `LayerGradCam` averages
    over columns where this sums, so it is this map divided by T.

    Args:
        model: `x -> logits [B, C]`.
        layer: the layer to explain at, giving `[B, K, T]`.
        x: `[B, leads, N]`.
        targets: class, or class of every example.
        relu: cut negative values.
        create_graph: give a map that can be differentiated, through the weights as well. A
            map without graph is detached.

    Returns:
        `[B, T]`.

    Raises:
        ModelError: unknown layer, or one that does not give `[B, K, T]`; targets out of range.
    """
    with torch.enable_grad(), captured(model, layer) as capture:
        logits = model(x)
        weights = sensitivities(logits, capture.value, targets, create_graph=create_graph)
        maps = weighted_map(capture.value, weights, relu=relu)
    return maps if create_graph else maps.detach()


def target_logits(logits: Tensor, targets: int | Tensor) -> Tensor:
    """The logit of every example's target class, `[B]`.

    Raises:
        ModelError: logits are not `[B, C]`, or a target is not a class.
    """
    if logits.ndim != 2:
        raise ModelError(
            f"the network gives logits of shape {tuple(logits.shape)}, expected [B, C]"
        )
    index = torch.as_tensor(targets, device=logits.device)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ModelError(f"targets are {index.dtype}, expected class numbers as integers")
    if index.ndim > 1 or (index.ndim == 1 and len(index) != len(logits)):
        raise ModelError(
            f"targets have shape {tuple(index.shape)}, expected one class or [{len(logits)}]"
        )
    if len(logits) and not 0 <= int(index.min()) <= int(index.max()) < logits.shape[1]:
        raise ModelError(
            f"targets range from {int(index.min())} to {int(index.max())}, expected classes "
            f"0 to {logits.shape[1] - 1}"
        )
    return logits.gather(1, index.long().expand(len(logits))[:, None])[:, 0]


def _submodule(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    if isinstance(layer, nn.Module):
        if not any(module is layer for module in model.modules()):
            raise ModelError(f"the given {type(layer).__name__} is not part of the model")
        return layer
    try:
        return model.get_submodule(layer)
    except AttributeError:
        names = ", ".join(name for name, _ in model.named_modules() if name)
        raise ModelError(f"the model has no layer {layer!r}; its layers: {names}") from None
