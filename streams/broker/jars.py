"""Apache Kafka's jars: listed with their sha-256, fetched once, checked at every start.

`kafka-4.1.0.jars` names each file by its path in a Maven repository. The library jgo knows where Maven Central is.
The invariant: no jar is handed out whose content is not the one that was listed, and no bad file stays in the cache.
Two processes may fetch at the same time: a lock on the cache lets one do it.

    class_path = JarCache(cache_dir).fetch(read_jar_list(), lambda done, total: print(f"{done}/{total}"))
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from jgo.maven import MavenContext
from msgspec import Struct

from streams.errors import BrokerError

KAFKA_VERSION: Final = "4.1.0"

Progress = Callable[[int, int], None]
"""Told how many jars of how many are there; called at first with what is there already."""

_LIST: Final = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.jars")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ATTEMPTS: Final = 2
_PARALLEL_DOWNLOADS: Final = 8
_ANSWER_SECONDS: Final = 30
_OTHER_DOWNLOAD_SECONDS: Final = 600


class Jar(Struct, frozen=True):
    """One file of a Maven repository: `group` `artifact` `version`, and the sha-256 that it must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> str:
        """Where the file lies in a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.artifact}-{self.version}.jar"


def read_jar_list(path: Path = _LIST) -> list[Jar]:
    """The jars that `path` lists, one a line as `<path in a Maven repository> <sha-256>`; lines that begin with # are comments.

    Raises:
        BrokerError: a line is not of that form; the message names file and line.
    """
    jars = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            jars.append(_parse_line(line, f"{path.name}, line {number}"))
    return jars


def _parse_line(line: str, where: str) -> Jar:
    match line.split():
        case [path, sha256] if _SHA256.fullmatch(sha256):
            *group, artifact, version, _ = ["", "", *path.split("/")]
            jar = Jar(".".join(group[2:]), artifact, version, sha256)
            if jar.group and jar.path == path:
                return jar
    raise BrokerError(
        f"{where}: {line!r} must be <group>/<artifact>/<version>/<artifact>-<version>.jar and 64 hexadecimal digits of sha-256"
    )


def download_from_maven_central(jar: Jar, repository: Path) -> None:
    """Put `jar` at its path under `repository`.

    Raises:
        OSError: the network or the disk failed.
        RuntimeError: Maven Central does not have it.
    """
    context = MavenContext(repo_cache=repository, timeout=_ANSWER_SECONDS)
    context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()


class JarCache:
    """A folder of jars that is kept between runs and shared by all brokers of a user."""

    def __init__(self, cache_dir: Path, download: Callable[[Jar, Path], None] = download_from_maven_central) -> None:
        self._repository = cache_dir / "maven"
        self._download = download

    def fetch(self, jars: Sequence[Jar], progress: Progress) -> list[Path]:
        """The paths of all `jars`, in their order; what is missing or damaged is downloaded.

        Raises:
            BrokerError: a jar could not be had, or what came was twice not the one that is listed.
        """
        try:
            self._repository.mkdir(parents=True, exist_ok=True)
            with FileLock(self._repository / ".lock", timeout=_OTHER_DOWNLOAD_SECONDS):
                self._complete(jars, progress)
        except Timeout:
            raise BrokerError(
                f"another process has been downloading into {self._repository} for {_OTHER_DOWNLOAD_SECONDS} s: end it, then try again"
            ) from None
        except OSError as error:
            raise BrokerError(
                f"the cache {self._repository} can't be written ({error}): set STREAMS_CACHE to a folder of your own"
            ) from error
        return [self._repository / jar.path for jar in jars]

    def _complete(self, jars: Sequence[Jar], progress: Progress) -> None:
        wanted = [jar for jar in jars if not self._is_good(jar)]
        done = len(jars) - len(wanted)
        progress(done, len(jars))
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            downloads = [pool.submit(self._fetch_one, jar) for jar in wanted]
            try:
                for download in as_completed(downloads):
                    download.result()
                    done += 1
                    progress(done, len(jars))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _fetch_one(self, jar: Jar) -> None:
        path = self._repository / jar.path
        came = ""
        for _ in range(_ATTEMPTS):
            # What was cut short stays under the jar's name, and the next download would take it for the jar.
            path.unlink(missing_ok=True)
            try:
                self._download(jar, self._repository)
            except PermissionError:
                raise
            except (OSError, RuntimeError) as error:
                came = f"{type(error).__name__}: {error}"
                continue
            if self._is_good(jar):
                return
            came = f"its sha-256 is {_sha256_of(path)}, listed is {jar.sha256}" if path.exists() else "no file came"
        path.unlink(missing_ok=True)
        raise BrokerError(
            f"{jar.path} could not be downloaded from Maven Central in {_ATTEMPTS} attempts ({came}). Check that this machine reaches "
            f"Maven Central and that no proxy alters downloads, then try again: what came well is kept. "
            f"On a machine without network, copy the folder {self._repository} from one that has it"
        )

    def _is_good(self, jar: Jar) -> bool:
        path = self._repository / jar.path
        return path.is_file() and _sha256_of(path) == jar.sha256


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
