"""The broker's process: started so that it survives the one that starts it, recognised, and ended.

A pid alone proves nothing, since a system gives it again after a crash. A process is ours when it runs Kafka with the
settings file of this folder; nothing else is ever signalled.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from streams.broker.folder import DataFolder, new_cluster_id
from streams.broker.java import Java
from streams.errors import BrokerError

STOP_SECONDS: Final = 30.0

_MAIN_CLASS: Final = "kafka.Kafka"
_LOGGING: Final = Path(__file__).with_name("log4j2.properties")
_JVM: Final = (
    "-Xmx512m",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
)
_FORMAT_SECONDS: Final = 60


def format_folder(java: Java, jars: Sequence[Path], folder: DataFolder) -> None:
    """Make `folder` Kafka's, with a new cluster id.

    Raises:
        BrokerError: Kafka's own tool refused; the message is its last words.
    """
    arguments = ["format", "--cluster-id", new_cluster_id(), "--config", str(folder.properties), "--ignore-formatted"]
    try:
        told = subprocess.run(
            [*_java_command(java, jars, folder), "kafka.tools.StorageTool", *arguments],
            capture_output=True,
            text=True,
            timeout=_FORMAT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BrokerError(f"formatting {folder.data} took more than {_FORMAT_SECONDS} s: is the disk very slow, or full?") from None
    if told.returncode:
        last_words = "\n".join((told.stdout + told.stderr).strip().splitlines()[-6:])
        raise BrokerError(f"{folder.data} could not be formatted for Kafka (exit code {told.returncode}):\n{last_words}")


def start(java: Java, jars: Sequence[Path], folder: DataFolder) -> subprocess.Popen[bytes]:
    """Start Kafka in a session of its own, so that neither Ctrl-C nor the end of this process reaches it."""
    with folder.console.open("wb") as console:
        return subprocess.Popen(
            [*_java_command(java, jars, folder), _MAIN_CLASS, str(folder.properties)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder.path,
        )


def find(folder: DataFolder) -> psutil.Process | None:
    """The running broker of `folder`; None when its pid is gone or belongs to something else by now."""
    recorded = folder.read_process()
    if recorded is None:
        return None
    try:
        process = psutil.Process(recorded.pid)
        command = process.cmdline()
    except psutil.Error:
        return None
    return process if command[-2:] == [_MAIN_CLASS, str(folder.properties)] else None


def end(process: psutil.Process, timeout_seconds: float = STOP_SECONDS) -> bool:
    """Ask the process to end, and kill it when it has not after `timeout_seconds`; whether it ended when asked."""
    try:
        process.terminate()
        process.wait(timeout_seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        kill(process)
        return False
    return True


def kill(process: psutil.Process) -> None:
    """End the process at once, as a crash would."""
    try:
        process.kill()
        process.wait(STOP_SECONDS)
    except psutil.NoSuchProcess:
        return


def _java_command(java: Java, jars: Sequence[Path], folder: DataFolder) -> list[str]:
    separator = ";" if psutil.WINDOWS else ":"
    return [
        str(java.executable),
        *_JVM,
        f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}",
        f"-Dstreams.log={folder.log}",
        f"-Djava.io.tmpdir={folder.scratch}",
        "-cp",
        separator.join(map(str, jars)),
    ]
