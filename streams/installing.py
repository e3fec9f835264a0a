"""How more of this package is installed: the command that works for the way in which it was installed itself.

The package is on no index yet, so an install by its name finds nothing. pip writes down where it took a package from (PEP 610,
`direct_url.json`): a folder, or a wheel. The extra is installed from the same place.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

NAME: Final = "session-streams"
PLACE: Final = "PATH"
"""Stands in for the place where it is not known."""


def install_line(extra: str) -> str:
    """The command that installs an extra, such as `pip install '/src/session-streams[worker]'`."""
    place, option = _origin()
    line = f"pip install {option}'{place}[{extra}]'"
    return line if place != PLACE else f"{line}, where {PLACE} is the folder or the wheel of {NAME} (`make wheel` builds one)"


def _origin() -> tuple[str, str]:
    """Where it was installed from, and the option that it was installed with."""
    try:
        text = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        text = None
    if not text:
        return PLACE, ""
    origin = json.loads(text)
    url = urlsplit(origin.get("url", ""))
    path = unquote(url.path)
    if url.scheme != "file" or not Path(path).exists():
        return PLACE, ""
    return path, "--editable " if origin.get("dir_info", {}).get("editable") else ""
