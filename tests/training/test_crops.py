"""What a sampler draws becomes tensors."""

from __future__ import annotations

import torch

from beatlens.tasks.windows.sampling import WindowSampler
from beatlens.training.crops import make_batches

from ..tasks.tracks import CLASSES, make_track


def test_crops_become_tensors() -> None:
    sampler = WindowSampler([make_track([(600, "V")])], CLASSES, 0, {"pvc": 1.0})
    windows, labels = make_batches(sampler)(3, 2)
    assert windows.dtype == labels.dtype == torch.float32
    assert torch.equal(windows[0], torch.from_numpy(sampler.crop(3)[0]))
    assert torch.equal(labels[1], torch.from_numpy(sampler.crop(4)[1]))
