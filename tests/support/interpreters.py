"""Other versions of Python on this machine, and an environment of each with what a replay needs.

They are those on the PATH, those of pyenv, and the one that OTHER_PYTHON names. An environment is made once, with the pinned
versions, and kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from streams.broker.local import default_cache_dir

ROOT = Path(__file__).parents[2]
Version = tuple[int, int]

_MINORS = range(8, 20)
_SUPPORTED: tuple[Version, Version] = ((3, 11), (3, 13))
_ASKS_SECONDS = 20.0
_INSTALLS_SECONDS = 300.0


@cache
def other_interpreters() -> dict[Version, Path]:
    """Interpreters of Python 3.8 and later that are of another version than this one; of a version the first that is found."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [os.environ.get("OTHER_PYTHON"), *(shutil.which(f"python3.{minor}") for minor in _MINORS)]
    candidates += map(str, sorted(pyenv.glob("3.*/bin/python3")))
    found: dict[Version, Path] = {}
    for candidate in filter(None, candidates):
        version = _version_of(candidate)
        if version is not None and version >= (3, 8) and version != sys.version_info[:2]:
            found.setdefault(version, Path(candidate))
    return dict(sorted(found.items()))


def _version_of(interpreter: str) -> Version | None:
    """None for one that does not run: a pyenv shim is there whether its version is or not."""
    ask = "import sys; print(sys.version_info[0], sys.version_info[1])"
    try:
        told = subprocess.run([interpreter, "-I", "-c", ask], capture_output=True, text=True, timeout=_ASKS_SECONDS, check=True)
        major, minor = map(int, told.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return major, minor


def other_environment() -> Path:
    """The interpreter of an environment that can replay a session, of another version of Python; the test is skipped without one."""
    usable = {version: path for version, path in other_interpreters().items() if _SUPPORTED[0] <= version <= _SUPPORTED[1]}
    if not usable:
        pytest.skip("there is one Python alone that sessions run on: install another of 3.11 to 3.13, or name it in OTHER_PYTHON")
    version, interpreter = max(usable.items())
    inputs = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + (ROOT / "constraints.txt").read_bytes()).hexdigest()[:12]
    folder = default_cache_dir() / f"python-{version[0]}.{version[1]}-{inputs}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=_INSTALLS_SECONDS):
        if not (folder / "made").exists():
            _make(interpreter, folder)
    return folder / "bin" / "python"


def _make(interpreter: Path, folder: Path) -> None:
    # The package itself is run from this tree, so it is taken out again: the environment serves for other trees too.
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    steps = [
        [str(interpreter), "-m", "venv", "--clear", str(folder)],
        [*pip, "install", "--constraint", "constraints.txt", ".[replay]"],
        [*pip, "uninstall", "--yes", "session-streams"],
    ]
    for step in steps:
        done = subprocess.run(step, cwd=ROOT, capture_output=True, text=True, timeout=_INSTALLS_SECONDS, check=False)
        if done.returncode:
            pytest.skip(f"no environment for {interpreter}: {' '.join(step)}: {done.stderr.strip().splitlines()[-1:]}")
    (folder / "made").touch()
