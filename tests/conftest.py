"""Fixtures shared by all tests: where real ECG lies, if it is there at all."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .seeds import seed_offset, shift_seeds

# Examples take as long as they take on a machine that is slow or busy.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure() -> None:
    if by := seed_offset():
        shift_seeds(by)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with real ECG and golden cases beside a development checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no real ECG: {SHARED} does not exist (a clone alone does not have it)")
    return SHARED


@pytest.fixture(scope="session")
def data_dir(shared_dir: Path) -> Path:
    """The folder that holds the databases, one sub-folder each."""
    return shared_dir / "data"


@pytest.fixture(scope="session")
def mitdb_dir(data_dir: Path) -> Path:
    """The MIT-BIH Arrhythmia Database."""
    return data_dir / "mitdb"
