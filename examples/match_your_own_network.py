"""Keep the explanations of your own network while a smaller one learns from it.

Nothing here needs beatlens's networks, data or training loop: any `nn.Module`, any layer that gives
`[B, K, T]`, your own optimiser. Run it: `python examples/match_your_own_network.py`.
"""

import torch
from torch import nn

from beatlens.attribution.fidelity import fidelity
from beatlens.attribution.matching import Classwise, attribute
from beatlens.compression.distill import kd_loss


def network(width: int) -> nn.Sequential:
    """A plain 1-D CNN; its layer "features" is what is explained."""
    features = nn.Sequential(
        nn.Conv1d(1, width, 9, stride=2), nn.ReLU(), nn.Conv1d(width, width, 9), nn.ReLU()
    )
    net = nn.Sequential()
    net.add_module("features", features)
    net.add_module(
        "decide", nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, 3))
    )
    return net


def bumps(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with a bump of one of three widths somewhere; the label is the width."""
    x, label = 0.1 * torch.randn(count, 1, 200), torch.randint(0, 3, (count,))
    t = torch.arange(200.0)
    centre = torch.randint(40, 160, (count, 1)).float()
    x[:, 0] += torch.exp(-(((t - centre) / (2.0 + 4 * label[:, None])) ** 2))
    return x, nn.functional.one_hot(label, 3).float()


def main() -> None:
    torch.manual_seed(0)
    teacher = network(32)
    optimizer = torch.optim.AdamW(teacher.parameters(), 3e-3)
    for _ in range(300):
        x, y = bumps(32)
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(teacher(x), y).backward()
        optimizer.step()
    teacher.eval().requires_grad_(False)

    test, _ = bumps(200)
    reference = attribute(teacher, test, "features").class_maps().detach().numpy()
    predicted = (teacher(test) > 0).numpy()
    for name, matching in (("KD alone", None), ("KD and classwise matching", Classwise())):
        torch.manual_seed(1)
        student = network(4)
        optimizer = torch.optim.AdamW(student.parameters(), 3e-3)
        for _ in range(300):
            x, _ = bumps(32)
            theirs, mine = (
                attribute(teacher, x, "features"),
                attribute(student, x, "features", differentiable=True),
            )
            loss = kd_loss(mine.logits, theirs.logits)
            if matching is not None:
                loss = loss + 4 * matching(mine, theirs)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        maps = attribute(student, test, "features").class_maps().detach().numpy()
        print(f"{name}: Spearman {fidelity(reference, maps, predicted).summary()['spearman']:.2f}")


if __name__ == "__main__":
    main()
