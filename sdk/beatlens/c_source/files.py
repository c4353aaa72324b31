"""Where the C of the firmware is: `firmware_export/` of a checkout, or its installed copy."""

from __future__ import annotations

from pathlib import Path

from beatlens.errors import BeatlensError

_INSTALLED = Path(__file__).parent / "c"
_CHECKOUT = Path(__file__).parents[3] / "firmware_export"


def c_folder() -> Path:
    """The folder with `include/`, `src/` and `ports/`.

    Raises:
        BeatlensError: the installation lacks it.

    >>> (c_folder() / "include" / "beatlens.h").is_file()
    True
    """
    for folder in (_INSTALLED, _CHECKOUT):
        if (folder / "include" / "beatlens.h").is_file():
            return folder
    raise BeatlensError(
        f"no C sources in {_INSTALLED} or {_CHECKOUT}, expected include/beatlens.h in one of them; "
        "install beatlens anew, or work in a whole checkout"
    )
