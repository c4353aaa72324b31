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

FIRST = (
    "firmware/test_boards.py",
    "benchmarks/test_compression_grid.py",
    "firmware/test_host.py",
    "firmware/test_c_quality.py",
    "plugin/test_plugin.py",
    "benchmarks/test_firmware.py",
    "ecg_page/test_page.py",
    "pipeline/test_declared_class.py",
    "firmware/test_package.py",
    "firmware/test_beat_package.py",
    "benchmarks/test_matching.py",
    "benchmarks/test_clinical_rows.py",
    "benchmarks/test_recordings_command.py",
    "tasks/beats/test_offsets.py",
    "tasks/beats/test_crops.py",
    "verbs/test_verbs.py",
    "verbs/test_score.py",
    "pipeline/test_beats.py",
    "pipeline/test_out_of_fold.py",
    "training/test_loop.py",
)
"""Files that take longest: started first, so that no worker is left alone with one at the end."""
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure() -> None:
    if by := seed_offset():
        shift_seeds(by)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the files in `FIRST` first, in its order; all others stay in theirs."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(FIRST)))


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
