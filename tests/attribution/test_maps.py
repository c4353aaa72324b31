"""Every map against captum's, on small random networks."""

import pytest
import torch
from captum.attr import GuidedBackprop, GuidedGradCam, IntegratedGradients, LayerGradCam, Saliency
from torch import Tensor, nn

from beatlens.attribution import gradients, maps
from beatlens.errors import ModelError

pytestmark = pytest.mark.rounding
CLASSES = 3


class MeanPooledNet(nn.Module):
    """Unpadded, with a mean over columns and one linear head: CAM is exact on it."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 6, 7, stride=2),
            nn.BatchNorm1d(6),
            nn.ReLU(inplace=inplace),
            nn.Conv1d(6, 5, 5, stride=2),
            nn.ReLU(inplace=inplace),
        )
        self.head = nn.Conv1d(5, CLASSES, 1)

    def evidence(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.evidence(x).mean(dim=-1)


class DenseHeadNet(nn.Module):
    """A non-linear head, so that Grad-CAM's weights differ between examples."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 5, stride=2)
        self.act = nn.ReLU()
        self.hidden = nn.Linear(4 * 18, 7)
        self.act2 = nn.ReLU()
        self.out = nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act2(self.hidden(self.act(self.conv(x)).flatten(1)))
        return self.out(hidden)


@pytest.fixture
def mean_net() -> MeanPooledNet:
    torch.manual_seed(3)
    net = MeanPooledNet().double()
    net(torch.randn(16, 2, 60, dtype=torch.float64))  # move the running statistics
    return net.eval()


@pytest.fixture
def dense_net() -> DenseHeadNet:
    torch.manual_seed(4)
    return DenseHeadNet().double().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 1, 40, dtype=torch.float64, generator=torch.manual_seed(5))


@pytest.fixture
def x2() -> Tensor:
    return torch.randn(4, 2, 60, dtype=torch.float64, generator=torch.manual_seed(6))


TARGETS = torch.tensor([0, 2, 1, 2])


@pytest.mark.parametrize("relu", [False, True])
def test_grad_cam_is_captums_times_columns(dense_net: DenseHeadNet, x: Tensor, relu: bool) -> None:
    ours = maps.grad_cam(dense_net, "act", x, TARGETS, relu=relu)
    theirs = LayerGradCam(dense_net, dense_net.act).attribute(x, TARGETS, relu_attributions=relu)
    assert ours.shape == (4, 18)
    assert not ours.requires_grad
    assert float(theirs.detach().std()) > 0
    torch.testing.assert_close(ours, theirs[:, 0].detach() * 18)


def test_integrated_gradients_are_captums(dense_net: DenseHeadNet, x: Tensor) -> None:
    baseline = torch.full((1, 1, 40), 0.3, dtype=torch.float64)
    ours = gradients.integrated_gradients(dense_net, x, TARGETS, baseline=baseline, steps=40)
    theirs = IntegratedGradients(dense_net).attribute(
        x, baseline.expand_as(x), TARGETS, n_steps=40, method="gausslegendre"
    )
    torch.testing.assert_close(ours, theirs)


def test_integrated_gradients_add_up_to_the_logits_difference(
    mean_net: MeanPooledNet, x2: Tensor
) -> None:
    ours = gradients.integrated_gradients(mean_net, x2, TARGETS, steps=400)
    rise = maps.target_logits(mean_net(x2) - mean_net(torch.zeros_like(x2)), TARGETS)
    torch.testing.assert_close(ours.sum(dim=(1, 2)), rise.detach(), rtol=0, atol=2e-3)


def test_input_gradients_are_captums(dense_net: DenseHeadNet, x: Tensor) -> None:
    theirs = Saliency(dense_net).attribute(x.clone().requires_grad_(), TARGETS, abs=False)
    torch.testing.assert_close(gradients.input_gradients(dense_net, x, TARGETS), theirs)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_guided_gradients_are_captums(dense_net: DenseHeadNet, x: Tensor) -> None:
    theirs = GuidedBackprop(dense_net).attribute(x.clone().requires_grad_(), TARGETS)
    ours = gradients.guided_gradients(dense_net, x, TARGETS)
    torch.testing.assert_close(ours, theirs)
    assert not torch.equal(ours, gradients.input_gradients(dense_net, x, TARGETS))


def test_relus_called_as_functions_are_guided_as_modules_are(
    mean_net: MeanPooledNet, x2: Tensor
) -> None:
    class Functional(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.relu(mean_net.body[1](mean_net.body[0](x)))
            return mean_net.head(mean_net.body[3](hidden).relu_()).mean(dim=-1)

    expected = gradients.guided_gradients(mean_net, x2, TARGETS)
    torch.testing.assert_close(gradients.guided_gradients(Functional(), x2, TARGETS), expected)
    assert not torch.equal(expected, gradients.input_gradients(mean_net, x2, TARGETS))


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_guided_grad_cam_is_captums_times_columns(dense_net: DenseHeadNet, x: Tensor) -> None:
    theirs = GuidedGradCam(dense_net, dense_net.act).attribute(
        x.clone().requires_grad_(), TARGETS, interpolate_mode="nearest"
    )
    ours = gradients.guided_grad_cam(dense_net, "act", x, TARGETS)
    assert float(theirs.detach().abs().max()) > 0
    torch.testing.assert_close(ours, theirs.detach() * 18)


def test_guided_grad_cam_with_a_geometry_is_zero_outside_the_columns(
    mean_net: MeanPooledNet, x2: Tensor
) -> None:
    columns = maps.grad_cam(mean_net, "body", x2, 1).shape[-1]
    ours = gradients.guided_grad_cam(mean_net, "body", x2, 1, stride=4, left=5)
    assert not ours[..., :5].any()
    assert not ours[..., 5 + 4 * columns :].any()
    expected = gradients.expand_map(maps.grad_cam(mean_net, "body", x2, 1), 60, 4, left=5)
    torch.testing.assert_close(
        ours, expected[:, None] * gradients.guided_gradients(mean_net, x2, 1)
    )


def test_cam_grad_cam_and_evidence_are_one_thing_on_a_mean_pooled_network(
    mean_net: MeanPooledNet, x2: Tensor
) -> None:
    with maps.captured(mean_net, "body") as activation:
        logits = mean_net(x2)
    cam = maps.cam(activation.value, mean_net.head.weight)
    for target in range(CLASSES):
        weights = maps.sensitivities(logits, activation.value, target)
        torch.testing.assert_close(weights, mean_net.head.weight[target, :, 0].expand(4, -1))
        torch.testing.assert_close(
            maps.grad_cam(mean_net, "body", x2, target, relu=False), cam[:, target].detach()
        )
    with_bias = maps.cam(activation.value, mean_net.head.weight, mean_net.head.bias)
    torch.testing.assert_close(with_bias, maps.evidence_map(mean_net, x2))
    torch.testing.assert_close(with_bias.mean(dim=-1), logits)


def test_a_differentiable_map_has_the_gradients_of_the_class_activation_map(
    mean_net: MeanPooledNet, x2: Tensor
) -> None:
    parameters = [*mean_net.body.parameters(), mean_net.head.weight]
    weights = torch.randn(4, 12, dtype=torch.float64)
    general = maps.grad_cam(mean_net, "body", x2, 2, create_graph=True)
    direct = maps.cam(mean_net.body(x2), mean_net.head.weight)[:, 2].relu()
    for ours, exact in zip(
        torch.autograd.grad((weights * general).sum(), parameters),
        torch.autograd.grad((weights * direct).sum(), parameters),
        strict=True,
    ):
        assert float(exact.abs().max()) > 0
        torch.testing.assert_close(ours, exact)


def test_no_parameter_gradient_is_touched(mean_net: MeanPooledNet, x2: Tensor) -> None:
    maps.grad_cam(mean_net, "body", x2, 0)
    gradients.integrated_gradients(mean_net, x2, 0, steps=2)
    gradients.guided_grad_cam(mean_net, "body", x2, 0)
    assert all(parameter.grad is None for parameter in mean_net.parameters())
    assert not any(module._forward_hooks for module in mean_net.modules())


def test_a_frozen_network_without_recorded_gradients_is_explained_too(
    mean_net: MeanPooledNet, x2: Tensor
) -> None:
    expected = maps.grad_cam(mean_net, "body", x2, 1)
    mean_net.requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(maps.grad_cam(mean_net, "body", x2, 1), expected)


def test_an_inplace_activation_does_not_change_what_was_captured(x2: Tensor) -> None:
    torch.manual_seed(3)
    net = MeanPooledNet(inplace=True).double().eval()
    with maps.captured(net, "body.3") as before, torch.no_grad():
        net(x2)
    assert float(before.value.min()) < 0
    torch.manual_seed(3)
    plain = MeanPooledNet().double().eval()
    torch.testing.assert_close(
        maps.grad_cam(net, "body.3", x2, 1), maps.grad_cam(plain, "body.3", x2, 1)
    )


def test_segments_add_up_and_leads_are_summed() -> None:
    attribution = torch.randn(3, 2, 21)
    pooled = gradients.segment_map(attribution, 4, left=3, columns=4)
    assert pooled.shape == (3, 4)
    torch.testing.assert_close(pooled[:, 1], attribution[:, :, 7:11].sum(dim=(1, 2)))
    torch.testing.assert_close(gradients.segment_map(attribution, 4, left=3), pooled)
    torch.testing.assert_close(
        gradients.segment_map(gradients.expand_map(pooled, 21, 4, left=3), 4, left=3), 4 * pooled
    )


def test_capture_before_any_pass_is_refused(mean_net: MeanPooledNet) -> None:
    with (
        maps.captured(mean_net, mean_net.head) as activation,
        pytest.raises(ModelError, match="no forward pass"),
    ):
        _ = activation.value


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (3, "expected classes 0 to 2"),
        (-1, "expected classes 0 to 2"),
        (torch.tensor([0, 1]), r"expected one class or \[4\]"),
        (torch.tensor([0.0, 1, 2, 0]), "as integers"),
    ],
)
def test_targets_that_are_no_classes_are_refused(
    dense_net: DenseHeadNet, x: Tensor, targets: int | Tensor, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        gradients.input_gradients(dense_net, x, targets)


def test_what_cannot_be_explained_is_refused(dense_net: DenseHeadNet, x: Tensor) -> None:
    with pytest.raises(ModelError, match="no layer 'nothing'; its layers: conv, act"):
        maps.grad_cam(dense_net, "nothing", x, 0)
    with pytest.raises(ModelError, match="not part of the model"):
        maps.grad_cam(dense_net, nn.ReLU(), x, 0)
    with pytest.raises(ModelError, match="name a layer before the pooling"):
        maps.grad_cam(dense_net, "hidden", x, 0)
    with pytest.raises(ModelError, match="has no evidence"):
        maps.evidence_map(dense_net, x)
    with pytest.raises(ModelError, match="uses no ReLU"):
        gradients.guided_gradients(nn.Sequential(nn.Flatten(), nn.Linear(40, 3)).double(), x, 0)
    with pytest.raises(ModelError, match="do not fit"):
        gradients.segment_map(x[:, 0], 8, left=1, columns=5)
    with pytest.raises(ModelError, match="do not fit"):
        gradients.expand_map(x[:, 0], 40, 8)
    with pytest.raises(ModelError, match="do not fit activations"):
        maps.cam(x, torch.ones(3, 2))
    with pytest.raises(ModelError, match="steps is 0"):
        gradients.integrated_gradients(dense_net, x, 0, steps=0)
    with pytest.raises(ModelError, match=r"expected \[B, C\]"):
        gradients.input_gradients(dense_net.conv, x, 0)
