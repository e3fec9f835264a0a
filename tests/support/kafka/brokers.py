"""The one broker of a test run: the one that was given, a container, or the embedded one, in this order.

    with a_broker() as found:
        found.bootstrap_servers, found.origin

Without STREAMS_BOOTSTRAP_SERVERS there is always one: what stands in the way of a container (no engine, no image and no
registry, a container that does not get ready) is told in `origin`, and the embedded broker is started instead.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from streams.broker import LocalBroker
from streams.broker.health import wait_until_ready
from streams.broker.ports import free_port

IMAGE = "apache/kafka:4.1.0"

_GIVEN_ANSWERS_SECONDS = 20.0
_ENGINE_ANSWERS_SECONDS = 5
_PULL_SECONDS = 120.0
_CONTAINER_READY_SECONDS = 60.0
_CLIENT_PORT = 19092


@dataclass(frozen=True)
class Broker:
    """A broker that is ready, and a line on where it came from."""

    bootstrap_servers: str
    origin: str


class NoContainerError(Exception):
    """Why no broker runs in a container here."""


@contextmanager
def a_broker() -> Iterator[Broker]:
    """A ready broker; whatever was started for it is stopped and deleted at the end."""
    given = os.environ.get("STREAMS_BOOTSTRAP_SERVERS")
    if given:
        missing = wait_until_ready(given, _GIVEN_ANSWERS_SECONDS)
        if missing is not None:
            pytest.exit(f"STREAMS_BOOTSTRAP_SERVERS is {given}, and no broker is ready there; awaited was {missing}", returncode=2)
        yield Broker(given, "STREAMS_BOOTSTRAP_SERVERS")
        return
    try:
        container = _started_container()
    except NoContainerError as reason:
        with _embedded() as servers:
            yield Broker(servers, f"embedded ({reason})")
        return
    try:
        yield Broker(container.bootstrap_servers, f"container {IMAGE}")
    finally:
        container.stop()


@contextmanager
def _embedded() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="streams-test-broker-"))
    broker = LocalBroker(folder)
    try:
        broker.up()
        yield broker.bootstrap_servers
    finally:
        broker.down()
        shutil.rmtree(folder)


class _KafkaContainer(DockerContainer):
    """The official image on one node, with transactions that need no second broker."""

    def __init__(self) -> None:
        super().__init__(IMAGE)
        port = free_port()
        self.bootstrap_servers = f"{self.get_docker_client().host()}:{port}"
        self.with_bind_ports(_CLIENT_PORT, port)
        self.with_envs(
            KAFKA_NODE_ID="1",
            KAFKA_PROCESS_ROLES="broker,controller",
            KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:29093",
            KAFKA_LISTENERS=f"CLIENT://:{_CLIENT_PORT},BROKER://:29092,CONTROLLER://:29093",
            KAFKA_ADVERTISED_LISTENERS=f"CLIENT://{self.bootstrap_servers},BROKER://localhost:29092",
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="CLIENT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            KAFKA_INTER_BROKER_LISTENER_NAME="BROKER",
            KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
            KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
            KAFKA_LOG_RETENTION_MS="-1",
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS="1",
            KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
            KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
            KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS="1",
        )


def _started_container() -> _KafkaContainer:
    # The helper that deletes containers of killed runs is one more image to pull; the context manager above stops ours.
    testcontainers_config.ryuk_disabled = True
    try:
        _have_image()
        container = _KafkaContainer()
        container.start()
    except (DockerException, OSError) as error:
        raise NoContainerError(f"no container could be started: {error}") from error
    try:
        missing = wait_until_ready(container.bootstrap_servers, _CONTAINER_READY_SECONDS)
    except BaseException:
        container.stop()
        raise
    if missing is not None:
        last_words = container.get_logs()[0].decode("utf-8", "replace").splitlines()[-1:]
        container.stop()
        raise NoContainerError(
            f"the container was not ready in {_CONTAINER_READY_SECONDS:g} s; awaited was {missing}; it said {last_words}"
        )
    return container


def _have_image() -> None:
    try:
        client = docker.from_env(timeout=_ENGINE_ANSWERS_SECONDS)
        client.ping()
    except (DockerException, OSError) as error:
        raise NoContainerError("no container engine answers") from error
    try:
        client.images.get(IMAGE)
    except ImageNotFound:
        _pull(client)
    finally:
        client.close()


def _pull(client: docker.DockerClient) -> None:
    repository, _, tag = IMAGE.partition(":")
    deadline = time.monotonic() + _PULL_SECONDS
    try:
        steps = client.api.pull(repository, tag=tag, stream=True, decode=True)
    except APIError as error:
        raise NoContainerError(f"{IMAGE} is not here and can't be pulled: {error.explanation}") from error
    for step in steps:
        if "error" in step:
            raise NoContainerError(f"{IMAGE} is not here and can't be pulled: {step['error']}")
        if time.monotonic() > deadline:
            raise NoContainerError(f"{IMAGE} was not pulled in {_PULL_SECONDS:g} s")
