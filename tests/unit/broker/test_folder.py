from __future__ import annotations

import base64
from pathlib import Path

import pytest

from streams.broker.folder import BrokerProcess, DataFolder, new_cluster_id
from streams.errors import BrokerError


def properties_of(folder: DataFolder) -> dict[str, str]:
    lines = folder.properties.read_text("ascii").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_clients_and_controller_have_ports_of_their_own_on_this_machine_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.write_properties(port=9092, controller_port=9093)
    properties = properties_of(folder)
    assert properties["listeners"] == "CLIENT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert properties["advertised.listeners"] == "CLIENT://127.0.0.1:9092"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9093"


def test_one_node_is_enough_for_groups_and_transactions(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.write_properties(port=9092, controller_port=9093)
    properties = properties_of(folder)
    # Kafka's defaults for these are 3, 3 and 2: on one node a transaction would wait for ever.
    assert properties["offsets.topic.replication.factor"] == "1"
    assert properties["transaction.state.log.replication.factor"] == "1"
    assert properties["transaction.state.log.min.isr"] == "1"
    assert properties["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize(
    ("name", "written"),
    [("with blank", "with blank"), ("börse", "b\\u00f6rse"), ("back\\slash", "back\\\\slash")],
)
def test_a_path_is_written_as_java_reads_it(tmp_path: Path, name: str, written: str) -> None:
    folder = DataFolder(tmp_path / name)
    folder.create()
    folder.write_properties(port=9092, controller_port=9093)
    assert properties_of(folder)["log.dirs"] == f"{tmp_path}/{written}/kafka"


def test_a_path_with_a_comma_is_refused_because_kafka_takes_it_for_two(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="comma"):
        DataFolder(tmp_path / "a,b")


def test_the_process_that_was_written_is_read_again(tmp_path: Path) -> None:
    DataFolder(tmp_path).write_process(BrokerProcess(pid=4711, port=9092))
    assert DataFolder(tmp_path).read_process() == BrokerProcess(pid=4711, port=9092)


@pytest.mark.parametrize("content", ["", '{"pid": 47', '{"pid": "?"}'])
def test_a_process_file_that_can_not_be_read_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "broker.json").write_text(content)
    assert DataFolder(tmp_path).read_process() is None


def test_only_what_was_logged_after_the_mark_is_shown(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    folder.log.write_text("of the run before\n")
    mark = folder.log_size()
    with folder.log.open("a") as log:
        log.write("of this run\n")
    assert folder.log_since(mark) == ["of this run"]


def test_a_log_that_was_rolled_over_since_the_mark_is_shown_whole(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    folder.log.write_text("short\n")
    assert folder.log_since(1000) == ["short"]


def test_a_cluster_id_is_sixteen_bytes_that_do_not_look_like_an_option() -> None:
    for _ in range(500):
        cluster_id = new_cluster_id()
        assert not cluster_id.startswith("-")
        assert len(base64.urlsafe_b64decode(cluster_id + "==")) == 16


def test_what_a_killed_broker_left_in_the_scratch_folder_is_deleted_at_the_next_start(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    (folder.scratch / "liblz4.so").write_text("left")
    folder.create()
    assert list(folder.scratch.iterdir()) == []
