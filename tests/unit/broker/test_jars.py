from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from streams.broker.jars import Jar, JarCache, read_jar_list
from streams.errors import BrokerError

CONTENT = b"what the jar should hold"
JAR = Jar("org.example.lib", "thing", "1.2", hashlib.sha256(CONTENT).hexdigest())


class MavenCentral:
    """Answers each download with the next of `answers`; an exception is raised."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, jar: Jar, repository: Path) -> None:
        path = repository / jar.path
        if path.exists():
            return  # as jgo does: it takes any file that is there for the jar
        self.asked.append(jar.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            path.write_bytes(CONTENT[:3])
            raise answer
        path.write_bytes(answer)


def fetch(cache_dir: Path, central: MavenCentral) -> tuple[list[Path], list[tuple[int, int]]]:
    progress: list[tuple[int, int]] = []
    paths = JarCache(cache_dir, central).fetch([JAR], lambda done, total: progress.append((done, total)))
    return paths, progress


def test_a_jar_lies_where_maven_puts_it() -> None:
    assert JAR.path == "org/example/lib/thing/1.2/thing-1.2.jar"


def test_the_list_that_is_shipped_is_the_broker_with_its_logging() -> None:
    jars = read_jar_list()
    by_name = {(jar.group, jar.artifact): jar for jar in jars}
    assert len(jars) == len(by_name) == 39
    assert by_name["org.apache.kafka", "kafka_2.13"].version == "4.1.0"
    # Without this binding Kafka logs nothing, not even why it ended.
    assert ("org.apache.logging.log4j", "log4j-slf4j-impl") in by_name


def test_comments_and_blank_lines_of_a_list_are_skipped(tmp_path: Path) -> None:
    listed = tmp_path / "some.jars"
    listed.write_text(f"# a comment\n\n{JAR.path} {JAR.sha256}\n")
    assert read_jar_list(listed) == [JAR]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (JAR.path, "no checksum"),
        (f"{JAR.path} abc123", "a checksum that is too short"),
        (f"{JAR.path} {JAR.sha256.upper()}", "a checksum that could never compare equal"),
        (f"org/example/lib/thing/1.2/thing-1.3.jar {JAR.sha256}", "a file name of another version"),
        (f"thing-1.2.jar {JAR.sha256}", "no group"),
        (f"{JAR.path} {JAR.sha256} more", "a third word"),
    ],
)
def test_a_bad_line_of_a_list_is_named(tmp_path: Path, line: str, reason: str) -> None:
    listed = tmp_path / "some.jars"
    listed.write_text(f"# a comment\n{line}\n")
    with pytest.raises(BrokerError, match=r"some\.jars, line 2: .*must be <group>"):
        read_jar_list(listed)


def test_a_jar_that_is_missing_is_downloaded_and_progress_is_told(tmp_path: Path) -> None:
    paths, progress = fetch(tmp_path, MavenCentral(CONTENT))
    assert [path.read_bytes() for path in paths] == [CONTENT]
    assert progress == [(0, 1), (1, 1)]


def test_a_jar_that_is_cached_is_not_asked_for_again(tmp_path: Path) -> None:
    fetch(tmp_path, MavenCentral(CONTENT))
    central = MavenCentral()
    _, progress = fetch(tmp_path, central)
    assert central.asked == []
    assert progress == [(1, 1)]


def test_a_cached_jar_that_was_damaged_is_replaced(tmp_path: Path) -> None:
    (path,), _ = fetch(tmp_path, MavenCentral(CONTENT))
    path.write_bytes(CONTENT[:5])
    fetch(tmp_path, MavenCentral(CONTENT))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "first", [b"a proxy's login page", ConnectionResetError("cut off"), RuntimeError("not found in remote repositories")]
)
def test_a_download_that_fails_once_is_tried_again(tmp_path: Path, first: bytes | Exception) -> None:
    (path,), _ = fetch(tmp_path, MavenCentral(first, CONTENT))
    assert path.read_bytes() == CONTENT


def test_a_jar_with_another_checksum_twice_is_refused_and_removed(tmp_path: Path) -> None:
    central = MavenCentral(b"forged", b"forged")
    with pytest.raises(BrokerError) as refused:
        fetch(tmp_path, central)
    message = str(refused.value)
    assert JAR.path in message
    assert JAR.sha256 in message
    assert hashlib.sha256(b"forged").hexdigest() in message
    assert "try again" in message
    assert not (tmp_path / "maven" / JAR.path).exists()
    assert len(central.asked) == 2


def test_a_network_that_is_down_is_said_and_what_was_cut_short_is_removed(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"2 attempts \(ConnectionError: no route\).*reaches Maven Central"):
        fetch(tmp_path, MavenCentral(ConnectionError("no route"), ConnectionError("no route")))
    assert not (tmp_path / "maven" / JAR.path).exists()


def test_a_cache_that_can_not_be_written_says_how_to_choose_another(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    with pytest.raises(BrokerError, match="STREAMS_CACHE"):
        fetch(occupied, MavenCentral())
