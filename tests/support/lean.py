"""LEAN files: the samples of all types, and zips that a test writes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

SAMPLES: Final = Path(__file__).parents[1] / "data" / "lean"


def write_zip(folder: Path, name: str, text: str, *, entry: str | None = None) -> Path:
    """A zip at this place below the folder, with one CSV named as LEAN names it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    *_, resolution, symbol, file = Path(name).parts if len(Path(name).parts) > 2 else ("minute", "spy", Path(name).name)
    named = entry or f"{file[:8]}_{symbol}_{resolution}_{Path(file).stem[9:]}.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(named, text)
    return path
