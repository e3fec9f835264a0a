"""Files that are whole or not there: written beside their place, flushed to the disk, then moved into it.

A reader that has a file open goes on reading the old one; one that opens it sees the old or the new one, never a part. What a
writer that was killed leaves behind has a name that begins with a dot and ends with `.part`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

PART: Final = ".part"


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file, and put it in the place of `path`; folders on the way are made.

    Raises:
        OSError: the disk is full, may not be written to, or is not there. What was at `path` then still is.
    """
    make_folders(path.parent)
    beside = path.with_name(f".{path.name}.{uuid4().hex}{PART}")
    try:
        write(beside)
        _flush(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    _flush(path.parent)


def create_file(path: Path, content: bytes) -> None:
    """Make a file unless there is one; of several that do so at once one wins, and its file is never seen half written.

    Raises:
        OSError: as `replace_file`.
    """
    if path.exists():
        return
    make_folders(path.parent)
    beside = path.with_name(f".{path.name}.{uuid4().hex}{PART}")
    try:
        beside.write_bytes(content)
        _flush(beside)
        try:
            os.link(beside, path)
        except FileExistsError:
            return
    finally:
        beside.unlink(missing_ok=True)
    _flush(path.parent)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each on the disk before it is used."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush(folder.parent)


def _flush(path: Path) -> None:
    # A folder's own flush is what makes a rename in it last; systems that can't open a folder do without.
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
