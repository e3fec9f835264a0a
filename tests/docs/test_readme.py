"""The README's commands and code blocks do what it says: each is taken from the text and run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams import __version__
from streams.broker.ports import free_port
from streams.config.session import SessionConfig
from tests.support import unique_symbol, wait_until
from tests.support.workers.processes import Workers

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECONDS = 180.0


ACTIVATES = ". .venv/bin/activate\n"
INSTALLS = f"make install\n{ACTIVATES}"


def section(title: str) -> str:
    """The text under a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README has no section {title!r}"
    return found[1]


def block(title: str, language: str) -> str:
    """The one block of a language under a heading."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"section {title!r} has {len(blocks)} blocks of {language}"
    return blocks[0]


@pytest.fixture
def shell() -> dict[str, str]:
    """The environment of a user who has activated the virtual environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    return {**clean, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


def run(script: str, environment: dict[str, str], timeout_s: float = SECONDS, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a shell script, by default in the checkout; whatever it leaves behind is ended with it."""
    process = subprocess.Popen(
        ["bash", "-e", "-c", script], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"not done after {timeout_s:g} s:\n{output}")
    return subprocess.CompletedProcess(script, process.returncode, output)


@contextmanager
def program(code: str, environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A Python program that runs on while a test goes on, and the file that it prints to."""
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, text=True, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield process, output
        finally:
            process.kill()
            process.wait()


def test_the_two_commands_are_the_ones_that_ci_and_a_user_run() -> None:
    assert block("Try it", "sh").split("\n") == ["make demo", "make test", ""]
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_demo_holds_what_it_claims_and_ends_by_itself(shell: dict[str, str], tmp_path: Path) -> None:
    done = run("streams demo", {**shell, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    assert "all of it held" in done.stdout
    assert done.stdout.count("✓") == 8
    assert not list(tmp_path.glob("streams-demo-*")), "the demo has left its folder behind"


def test_the_commands_by_hand_work_when_they_are_pasted(shell: dict[str, str], tmp_path: Path) -> None:
    port, data = free_port(), tmp_path / "broker"
    pasted = block("By hand", "sh")
    assert pasted.startswith(ACTIVATES)
    pasted = pasted.removeprefix(ACTIVATES)
    script = f"""
        trap 'trap - EXIT; kill $(jobs -p) || true; wait || true; streams broker down' EXIT
        {pasted.replace("streams broker up", f"streams broker up --port {port}")}
    """
    environment = {
        **shell, "STREAMS_BROKER_DATA": str(data), "STREAMS_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "STREAMS_HTTP_PORT": "0",
        "STREAMS_INSTANCE_ID": f"readme-{port}",
    }  # fmt: skip
    done = run(script, environment)
    assert done.returncode == 0, done.stdout
    assert "IBM: completed" in done.stdout
    assert re.search(r"SPY .* loaded", done.stdout), done.stdout
    assert "Traceback" not in done.stdout, done.stdout


def test_bars_of_ones_own_are_published_and_replayed_as_the_readme_says(shell: dict[str, str], tmp_path: Path) -> None:
    wait_until(lambda: time.time() % 86_400 < 86_340, "the new day: the replay is of the day on which the bars were recorded", 90)
    port, data = free_port(), tmp_path / "broker"
    pasted = block("Your own bars", "sh")
    assert pasted.startswith(INSTALLS)  # which the environment of the tests has behind it
    pasted = pasted.removeprefix(INSTALLS).replace("streams broker up", f"streams broker up --port {port}")
    pasted = pasted.replace("--kind bar --count 3", "--kind bar --count 3 --json")
    script = f"""
        trap 'trap - EXIT; kill $(jobs -p) || true; wait || true; streams broker down' EXIT
        {pasted}
    """
    environment = {
        **shell, "STREAMS_BROKER_DATA": str(data), "STREAMS_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "STREAMS_HTTP_PORT": "0",
        "STREAMS_INSTANCE_ID": f"readme-{port}",
    }  # fmt: skip
    done = run(script, environment, folder=tmp_path)
    assert done.returncode == 0, done.stdout  # 1 where the replay accepts no bar
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"sequence"')]
    bars = [(event["kind"], event["symbol"], event["interval"], event["bar"]["close"]) for event in events]
    assert bars == [("bar", "BTC/USD", "1s", 167.45)] * 3, done.stdout
    assert "Traceback" not in done.stdout, done.stdout


def test_the_python_blocks_send_a_bar_and_read_what_is_fresh(
    bootstrap_servers: str, session_name: str, workers: Workers, shell: dict[str, str], tmp_path: Path
) -> None:
    spy, ibm = unique_symbol("SPY"), unique_symbol("IBM")

    def as_here(code: str) -> str:
        renamed = code.replace("localhost:9092", bootstrap_servers).replace("SPY", spy).replace("IBM", ibm)
        return renamed.replace('"main.', f'"{session_name}.').replace('"my-bot"', f'"{session_name}-bot"')

    live = json.loads((ROOT / "examples" / "live.json").read_text(encoding="utf-8"))
    live["session_name"] = session_name
    live["session_data_config"]["symbols"] = [spy]
    worker = workers.start(SessionConfig.from_dict(live))
    worker.wait_until("active")
    reader = as_here(block("Add a symbol and read what is fresh", "python"))
    writer = as_here(block("Send a bar", "python"))
    with program(reader, shell, tmp_path) as (process, output):

        def a_bar_came() -> bool:
            assert process.poll() is None, output.read_text()
            sent = subprocess.run([sys.executable, "-c", writer], cwd=ROOT, env=shell, capture_output=True, text=True, check=False)
            assert sent.returncode == 0, sent.stderr
            return f"{spy} 1s 167.43" in output.read_text()

        wait_until(a_bar_came, "the README's reader to print the README's bar", 60)
        listed = [sys.executable, "-m", "streams.cli.main", "symbol-list", "--session", session_name, "--bootstrap", bootstrap_servers]
        wait_until(
            lambda: re.search(rf"{ibm} .*loaded", subprocess.run(listed, env=shell, capture_output=True, text=True, check=False).stdout),
            f"{ibm} to be added by the README's command",
        )


@pytest.mark.parametrize("title", ["Send a bar", "Add a symbol and read what is fresh"])
def test_a_record_that_its_topic_is_missing_for_ends_the_program_with_an_error(
    title: str, bootstrap_servers: str, session_name: str, shell: dict[str, str]
) -> None:
    topic = f"bars.{unique_symbol('SPY')}" if title == "Send a bar" else f"{session_name}.control"
    code = block(title, "python").replace("localhost:9092", bootstrap_servers)
    code = code.replace('"bars.SPY"', f'"{topic}"').replace('"main.control"', f'"{topic}"')
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{topic}: Broker: Unknown topic or partition\n"


def test_the_wheel_of_the_readme_is_the_one_that_make_builds_and_has_its_extras() -> None:
    (extras,) = re.findall(r"dist/session_streams-(?:.*)-py3-none-any\.whl\[(.*)\]'", block("Install it elsewhere", "sh"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"dist/session_streams-{__version__}-py3-none-any.whl[" in block("Install it elsewhere", "sh")
    assert set(extras.split(",")) == set(project["optional-dependencies"]) - {"dev"}


def test_the_replay_of_the_readme_runs(shell: dict[str, str]) -> None:
    done = run(block("Replay a day", "sh"), shell)
    assert done.returncode == 0, done.stdout


def test_every_page_that_the_readme_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)", README):
        assert link.startswith("http") or (ROOT / link).exists(), f"the README links to {link}, which is not there"
