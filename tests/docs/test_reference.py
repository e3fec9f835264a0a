"""The pages of the reference say what the code does, and nothing of the code's outside is left out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from streams.config.session import SessionConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_pages_are_what_make_docs_writes() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "build.py"), "--check"], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True, check=False, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_key_of_a_config_has_a_meaning_on_the_page() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|[^|]*\| (.+) \|$", page, re.MULTILINE)
    described = {name for name, meaning in rows if meaning.strip()}
    assert keys_of(json.loads((ROOT / "examples" / "session-full.json").read_text())) <= described


def test_the_full_example_has_every_key() -> None:
    full = json.loads((ROOT / "examples" / "session-full.json").read_text())
    assert full == SessionConfig.from_dict(full).to_dict()


def keys_of(values: object) -> set[str]:
    if not isinstance(values, dict):
        return set()
    return set(values).union(*(keys_of(value) for value in values.values()))


def test_every_page_that_another_links_to_exists() -> None:
    for page in (*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
