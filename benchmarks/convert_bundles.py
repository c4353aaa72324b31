"""Released bundles of format 2 as bundles of format 3: `bundle.json` written anew, all else kept.

    python -m benchmarks.convert_bundles            # models/*/bundle

`model.tflite`, `weights.blpk` and the golden vectors stay byte for byte as they were, and so do
versions and figures. A bundle of format 3 is left alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from beatlens.runtime.bundle import Bundle, sign_manifest
from beatlens.runtime.folder import MANIFEST, read_folder, write_folder
from beatlens.runtime.manifest_file import FORMAT

MODELS = Path(__file__).resolve().parents[1] / "models"


def convert(folder: Path) -> bool:
    """Write a bundle in format 3; returns False for one that is.

    Raises ModelError where the bundle is damaged, or cannot be written.
    """
    files = read_folder(folder)
    if json.loads(files[MANIFEST])["format"] == FORMAT:
        return False
    bundle = Bundle.load(folder)
    write_folder(folder, {**files, MANIFEST: sign_manifest(bundle, files)}, replace=True)
    return True


def main() -> None:
    """Convert bundles."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="*", help="of bundles; models/*/bundle if none")
    for folder in parser.parse_args().folders or sorted(MODELS.glob("*/bundle")):
        print(folder, "converted" if convert(folder) else "is of format 3")


if __name__ == "__main__":
    main()
