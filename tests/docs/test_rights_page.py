"""The rights in docs/deployment.md: the table says what the commands grant, which is what the tests of roles grant too."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from confluent_kafka.admin import ResourcePatternType, ResourceType

from tests.support.kafka.rights import ROLES, documented

_PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"
_KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional ID": ResourceType.TRANSACTIONAL_ID}

Right = tuple[ResourceType, str, bool, str]


def of_table() -> dict[str, set[Right]]:
    """What the table says: kind of resource, name, whether that is a prefix, and operation, by role."""
    rows = [line for line in _PAGE.read_text("utf-8").split("### Rights")[1].split("As commands")[0].splitlines() if line.startswith("| ")]
    rights: dict[str, set[Right]] = defaultdict(set)
    role = ""
    for row in rows[1:]:
        first, resource, operations, *_ = (cell.strip() for cell in row.strip("|").split("|"))
        role = first or role
        kind = _KINDS[resource.partition("`")[0].strip().removesuffix("s")]
        for name in re.findall(r"`([^`]+)`", resource):
            rights[role] |= {(kind, name.removesuffix("*"), name.endswith("*"), one.strip()) for one in operations.split(",")}
    return rights


def of_commands(role: str) -> set[Right]:
    """What the commands grant, which is what the tests of roles grant."""
    return {
        (one.restype, one.name, one.resource_pattern_type is ResourcePatternType.PREFIXED, one.operation.name.title().replace("_", ""))
        for one in documented(role, "main")
    }


def test_the_table_of_rights_has_what_the_commands_grant_and_nothing_else() -> None:
    table = of_table()
    assert list(table) == list(ROLES)
    assert sum(map(len, table.values())) == 49
    for role in ROLES:
        assert table[role] == of_commands(role), role


def test_a_role_of_the_page_is_that_of_another_session_by_its_name() -> None:
    assert {one.name for one in documented("consumer", "desk")} == {"desk.analysis", "desk.bars", "desk.reader"}
    assert {one.name for one in documented("producer", "desk")} == {"bars.", "quotes.", "ticks."}
