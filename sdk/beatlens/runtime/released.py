"""Released models by name: bundles that come with the package.

They lie in `beatlens/models/` of an installed package, and in `models/` of a checkout.

>>> "beats" in released_names()
True
"""

from __future__ import annotations

from pathlib import Path

from beatlens.errors import ModelError
from beatlens.runtime.folder import MANIFEST, MODEL

DEFAULT = "beats"
"""The model that verbs run where none is named."""

_INSTALLED = Path(__file__).parents[1] / "models"
_CHECKOUT = Path(__file__).parents[3] / "models"


def released_folder() -> Path:
    """The folder of the released models, one sub-folder each with a card and a bundle."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def released_names() -> tuple[str, ...]:
    """Names of the released models, in alphabetical order; none where they were left out."""
    found = released_folder().glob(f"*/bundle/{MANIFEST}")
    return tuple(sorted(path.parent.parent.name for path in found))


def find_bundle(name: Path | str) -> Path:
    """The folder of a bundle: `name` itself where that is on disk, else the released model.

    A folder with a bundle in its sub-folder `bundle/`, such as models/beats, stands for it. A
    folder that holds no bundle does not hide a released model of the same name.

    Raises:
        ModelError: `name` is neither on disk nor a released model; the message lists those.

    >>> find_bundle("beats").name
    'bundle'
    """
    path, names = Path(name), released_names()
    if not (path / MANIFEST).exists() and (path / "bundle" / MANIFEST).exists():
        return path / "bundle"
    if str(name) in names and not (path / MANIFEST).exists():
        return released_folder() / str(name) / "bundle"
    if str(name) and (path.exists() or path.is_symlink()):
        return path
    known = f"{', '.join(names)} or " if names else ""
    raise ModelError(
        f"{name}: no such folder, and no released model: expected {known}a folder with "
        f"{MANIFEST}, {MODEL} and the other files of a bundle"
    )
