"""Other seeds for tests whose results depend on rounding.

`BEATLENS_TEST_SEED=N` adds `N` to every seed that a test hands to numpy or torch, in tests and
their helpers only: the package's own seeds stay. `make test-cpus` sets it. A test marked `rounding`
passes with any N; others may compare with a number that belongs to one seed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "BEATLENS_TEST_SEED"
_TESTS = str(Path(__file__).parent)


def _from_a_test() -> bool:
    """Whether the caller's caller is code of a test or of one of its helpers."""
    return sys._getframe(2).f_code.co_filename.startswith(_TESTS)


def shift_seeds(by: int) -> None:
    """Add `by` to the seeds of torch and numpy that tests set from now on."""
    import numpy as np
    import torch

    seed, make = torch.manual_seed, np.random.default_rng

    class Generator(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + by if _from_a_test() else seed)

    def manual_seed(value: int) -> torch.Generator:
        return seed(value + by if _from_a_test() else value)

    def default_rng(value: object = None) -> np.random.Generator:
        return make(value + by if isinstance(value, int) and _from_a_test() else value)

    torch.Generator, torch.manual_seed, np.random.default_rng = Generator, manual_seed, default_rng


def seed_offset() -> int:
    """What `BEATLENS_TEST_SEED` adds, 0 where it is not set."""
    return int(os.environ.get(VARIABLE) or 0)
