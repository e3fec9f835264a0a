"""Which sessions a cluster has, by the names of its topics."""

from __future__ import annotations

import pytest
from rich.console import Console

from streams.cli.sessions import _summary_line, _table, summary
from streams.client.sessions import SessionState, hidden_changelogs, session_names
from streams.config.settings import Settings
from streams.model.rows import SessionRow
from streams.times import DAY_US, SECOND_US

NOW_US = 1_381_152_600_000_000


@pytest.mark.parametrize(
    ("topics", "prefix", "names", "why"),
    [
        (["main-state-changelog", "main.control", "bars.SPY"], "", ["main"], "a changelog and a topic of its own beside it"),
        (["main-state-changelog", "main.journal"], "", ["main"], "a user may be allowed to see only some of them"),
        (["shop-state-changelog", "orders"], "", [], "someone else's Faust app has a table called state"),
        (["main.control", "main.analysis"], "", [], "no worker has come as far as the state"),
        (["b-state-changelog", "b.dlq", "a-state-changelog", "a.dlq"], "", ["a", "b"], "in order of name"),
        (["desk.main-state-changelog", "desk.main.control", "main-state-changelog", "main.control"], "desk.", ["main"], "under a prefix"),
        (["desk.main-state-changelog", "desk.main.control"], "", ["desk.main"], "without the prefix it is part of the name"),
        (["-state-changelog", ".control"], "", [], "no name is left"),
        (["a-state-changelog-state-changelog", "a-state-changelog.control"], "", ["a-state-changelog"], "an odd name, and a right one"),
    ],
)
def test_a_session_is_a_changelog_with_topics_of_the_same_name(topics: list[str], prefix: str, names: list[str], why: str) -> None:
    assert session_names(frozenset(topics), prefix) == names, why


def row(now_us: int, *, active: bool = True) -> SessionRow:
    return SessionRow("main", 2, 71, 140, now_us, active, True, "all caught up", 15985, 3, 0, "id", "host-0", "http://host:6066")


def test_a_worker_that_has_not_committed_for_more_than_five_seconds_is_taken_for_gone() -> None:
    at_work, gone = (
        summary(SessionState("main", row(NOW_US - 5_000_000)), NOW_US),
        summary(SessionState("main", row(NOW_US - 5_001_000)), NOW_US),
    )
    assert (at_work["worker"], at_work["gate_open"], at_work["owner"]) == ("active", True, "host-0")
    assert (gone["worker"], gone["gate_open"], gone["owner"]) == ("none", False, "host-0"), "who it was is still known"
    assert gone["age_seconds"] == 5.001
    assert at_work["trading_date"] == "2013-10-07"


def test_a_session_without_a_commit_and_one_that_cannot_be_read_are_two_things() -> None:
    assert summary(SessionState("new", None), NOW_US)["worker"] == "none"
    unreadable = summary(SessionState("main", None, "User:desk lacks Read on topic main-state-changelog"), NOW_US)
    assert (unreadable["worker"], unreadable["gate_open"]) == ("unknown", None)
    assert unreadable["problem"] == "User:desk lacks Read on topic main-state-changelog"


def test_a_session_whose_worker_died_a_week_ago_is_listed_with_its_age_and_its_last_worker() -> None:
    dead, at_work = (
        summary(SessionState(name, row(NOW_US - age_us)), NOW_US) for name, age_us in (("old", 7 * DAY_US), ("main", SECOND_US))
    )
    console = Console(width=80, record=True)
    console.print(_table([at_work, dead]))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert lines == [
        ["session", "worker", "gate", "last", "commit", "by"],
        ["main", "active", "open", "1.0", "s", "ago", "host-0"],
        ["old", "none", "closed", "7", "d", "ago", "host-0"],
    ]
    assert str(_summary_line([at_work, dead])).startswith("2 sessions, 1 with an active worker")


def test_a_session_whose_state_may_not_be_seen_is_known_by_its_other_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def missing(settings: Settings, wanted: dict[str, object], what: str) -> list[str]:
        asked.append(list(wanted))
        return [f"Read on topic {topic}" for topic in wanted if topic != "foreign-state-changelog"]

    monkeypatch.setattr("streams.client.sessions.missing_rights", missing)
    topics = frozenset(
        {"main.analysis", "main.bars", "seen.analysis", "seen-state-changelog", "foreign.events", "main.replay.analysis", "bars.SPY"}
    )
    assert hidden_changelogs(Settings.load(), topics) == {"main-state-changelog"}
    assert asked == [["foreign-state-changelog", "main-state-changelog"]], "a replay has no state, and what is seen is not asked for"
    assert session_names(topics | hidden_changelogs(Settings.load(), topics)) == ["main", "seen"]
