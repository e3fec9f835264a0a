"""Runs a Java program of one file with Kafka's jars and Avro: by a JDK's launcher, or compiled by a jar where Java is a runtime only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from streams.broker.jars import Jar, JarCache, read_jar_list
from streams.broker.java import find_java
from streams.broker.local import default_cache_dir
from streams.errors import BrokerError

_LIST = Path(__file__).with_name("java.jars")
_OF_KAFKA = frozenset({"kafka-clients", "jackson-core", "jackson-databind", "jackson-annotations", "slf4j-api", "lz4-java", "snappy-java"})
_COMPILES_SECONDS = 120.0


def java_command(source: Path, folder: Path) -> list[str]:
    """The command that runs the program; the test is skipped where there is no Java, or the jars can't be had."""
    try:
        java = find_java()
    except BrokerError as error:
        pytest.skip(f"no Java for {source.name}: {error}")
    own = {jar.artifact: jar for jar in read_jar_list(_LIST)}
    libraries = [*(jar for jar in read_jar_list() if jar.artifact in _OF_KAFKA), own["avro"]]
    class_path = os.pathsep.join(map(str, _fetched(libraries)))
    modules = subprocess.run([java.executable, "--list-modules"], capture_output=True, text=True, check=True).stdout
    if "jdk.compiler@" in modules:
        return [str(java.executable), "-cp", class_path, str(source)]
    (compiler,) = _fetched([own["ecj"]])
    words = [str(java.executable), "-jar", str(compiler), "-17", "-cp", class_path, "-d", str(folder), str(source)]
    compiled = subprocess.run(words, capture_output=True, text=True, timeout=_COMPILES_SECONDS, check=False)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    return [str(java.executable), "-cp", f"{folder}{os.pathsep}{class_path}", source.stem]


def _fetched(jars: list[Jar]) -> list[Path]:
    try:
        return JarCache(default_cache_dir()).fetch(jars, lambda done, total: None)
    except BrokerError as error:
        pytest.skip(f"no jars for Java: {error}")
