"""The folders of outputs: refused at once where they are not there, with the same sentence in every command."""

from __future__ import annotations

from pathlib import Path

import typer


def check_folder(folder: Path, option: str) -> None:
    """See to it that the folder of an output is there, before any work is done for it: a typing error makes no folders.

    Raises:
        BadParameter: it is not.
    """
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}: make it, or name another one", param_hint=option)
