"""Whatever is sent to the API, it answers as its OpenAPI document says: requests that are right, wrong, and on the borders of both.

The seed is fixed, so that a run finds what the run before it found.
"""

from __future__ import annotations

import hypothesis
import schemathesis
from hypothesis import strategies
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import missing_required_header

from tests.support.api import COMMAND_TOKEN, READ_TOKEN, app_over, bearer
from tests.unit.api.worlds import active_desk, inactive_desk

schemathesis.openapi.format("symbol", strategies.from_regex(r"[!-{}~]{1,64}", fullmatch=True))

EXAMPLES = hypothesis.settings(
    max_examples=8, derandomize=True, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)  # fmt: skip


def world(*, active: bool, tokens: bool) -> schemathesis.BaseSchema:
    app = app_over(active_desk() if active else inactive_desk(), tokens=tokens)
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=SchemathesisConfig(seed=1))


OPEN = world(active=True, tokens=True)
SHUT = world(active=False, tokens=True)
CLOSED = world(active=True, tokens=False)


@OPEN.parametrize()
@EXAMPLES
def test_one_with_tokens_is_answered_as_the_document_says(case: Case) -> None:
    is_read = case.method == "GET" and "/commands/" not in case.path
    case.call_and_validate(headers=bearer(READ_TOKEN if is_read else COMMAND_TOKEN))


@SHUT.parametrize()
@EXAMPLES
def test_one_without_tokens_is_answered_as_the_document_says_while_the_gate_is_shut(case: Case) -> None:
    case.call_and_validate()


@CLOSED.parametrize()
@EXAMPLES
def test_a_worker_without_tokens_answers_as_the_document_says(case: Case) -> None:
    # Where no token opens a door, to ask for one with 401 would mislead: it is 403.
    case.call_and_validate(excluded_checks=[missing_required_header])
