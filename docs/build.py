"""Writes the pages of the reference from what they describe: the config's models, the settings, the classes for programs.

    python docs/build.py            writes docs/configuration.md, docs/exchanges.md, docs/http.md and docs/python.md
    python docs/build.py --check    says what differs, and ends with 1 where something does

The pages can't say anything else than the code does: a test runs the check.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import types
from pathlib import Path
from typing import Final, get_args, get_origin

from exchanges import exchanges
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from streams.api.app import openapi
from streams.config import settings
from streams.config.explain import descriptions
from streams.config.session import SessionConfig

FOLDER: Final = Path(__file__).parent

CONFIGURATION: Final = """# Configuration

*Made from the code by `make docs`.*

What a session is stands in its config file, JSON; what surrounds a process stands in its environment. `streams worker CONFIG` and
`streams replay CONFIG` take the config, and refuse one with the key, the value and what would be right. Durations are seconds. Only
`session_data_config.symbols` has no default; `examples/session-full.json` has every key. How a changed config is taken over by a session
that has state: [deployment.md](deployment.md).
"""

PYTHON: Final = """# Python reference

*Made from the code by `make docs`.*

What a program imports. The plain install has what reads and commands a session; `[worker]` and `[replay]` bring the rest. Instants are
aware `datetime`s, or integers of microseconds since 1970-01-01 UTC in names that end in `_us`.
"""

HTTP: Final = """# Reading and commanding over HTTP

*Made from the code by `make docs`.*

Each worker answers on `STREAMS_HTTP_PORT`, 6066, of 127.0.0.1: `/health`, `/metrics`, and the API under `/v1`, of which `/openapi.json` has
every field with its unit. Answers are of the last committed state.

```sh
curl 'http://127.0.0.1:6066/v1/session'
curl 'http://127.0.0.1:6066/v1/symbols/SPY/bars?interval=1m&last=3'
curl 'http://127.0.0.1:6066/v1/symbols/BTC%2FUSD/latest'                  # a slash in a symbol is sent as %2F
curl -H "Authorization: Bearer $STREAMS_READ_TOKEN" 'http://127.0.0.1:6066/v1/symbols/SPY/gaps?internal=true'
curl -H "Authorization: Bearer $STREAMS_COMMAND_TOKEN" -H 'Content-Type: application/json' \\
     -d '{"symbol": "IBM"}' http://127.0.0.1:6066/v1/symbols
curl -H "Authorization: Bearer $STREAMS_COMMAND_TOKEN" -X DELETE http://127.0.0.1:6066/v1/symbols/IBM
```

In Python `streams.client.session.SessionClient` has the methods of `SessionData` over it, and `streams.client.asession.AsyncSessionClient`
has them on asyncio; in the shell `streams show`, `quality` and `gaps` do.

## The gate

Reads need no token. While the session is inactive they are answered with 200, `session_active: false` and nothing else: a program that does
not look at the gate gets no stale bar. `internal=true` looks past it, with the token of `STREAMS_READ_TOKEN`. Commands need that of
`STREAMS_COMMAND_TOKEN`; neither token does for the other, and one that is not set is a door that is closed (403).

## A snapshot, and on from there

`as_of` says what an answer is of: session, `epoch`, the `sequence` of the last analysis record that it knows of, and `analysis_offset`, the
offset of `<session>.analysis` at which to read on. So a consumer has each record once, without a hole:

```sh
python examples/snapshot.py SPY --url http://127.0.0.1:6066 --place spy.json
```

It prints `snapshot: 5400 bars as of record 8120, going on at offset 8977`, then each bar as it comes; killed at any moment and
started again, `going on with 5412 bars at offset 8995, after record 8137`. The topic has only what is fresh: of bars that were held back
or revised it says from when to when (`held_back`, `revised`), and the example reads those over HTTP again.

A page ends with `next`, the path of the following one, or null. It may be as of a later state: a bar that came between the pages is on
analysis after the `analysis_offset` of the first.

## Paths

Instants are ISO 8601 with a zone, `2013-10-07T13:30:00Z`, or a count since 1970; a local time is refused. Without `interval` the
symbol's base interval is meant. `last`, `since`, `start` and `end` may be combined: the newest so many of those that start in
`[start, end)`.

{{PATHS}}

## Errors

Each is JSON: `{"error": {"code": "unknown_symbol", "message": "SPX is not in the session: /v1/symbols lists what is"}}`. `code` is for
programs, and stays; the message says what would be right.

{{ERRORS}}

A standby sends requests on to the active worker: curl follows with `-L`, and takes the token along with `--location-trusted`. What it
gives as the address is the active worker's `STREAMS_ADVERTISED_URL`.

## Hosts

A web page must not read a worker on your machine by letting its own name point there (DNS rebinding). So a request is answered only if its
`Host` names

- this machine: `localhost` and names below it, `127.0.0.0/8`, `::1`;
- the host of `STREAMS_ADVERTISED_URL`, or without one the machine's name, and the host of `STREAMS_HTTP_HOST`;
- a host of `STREAMS_ALLOWED_HOSTS`, such as `worker-1,*.desk.example,10.0.0.5`.

Anything else gets 421. Ports, case, and a dot at the end make no difference.

Container platforms and Prometheus often ask a pod by its address. `/health` and `/metrics` are therefore also answered under any IP
address: no name was looked up, so none can point elsewhere. Nothing has to be set for a Kubernetes `httpGet` probe, a load
balancer that checks targets by address, or Prometheus' pod discovery. A probe or scraper that uses a name, such as a service's, needs
that name in `STREAMS_ALLOWED_HOSTS`; so does a proxy that sends a `Host` of its own. A request without `Host`, which only HTTP/1.0 allows,
is answered: no browser sends one.

## Limits

A page has at most 5000 bars, a body 16 kB, so have path and headers together; 32 requests are worked on at once, 8 commands waited for
and 2 exports written. Requests beyond that get 503 and `Retry-After`. Reads are taken from the session between two transactions,
at most a hundred times a second, however many ask: the session goes on. The figures of `/metrics` are collected once for all who ask
at the same time, with a rest after it of up to a second.

There are places for 128 connections. When they are taken, a new connection replaces the one that has kept the worker waiting longest: for
a request, for the rest of one, or for its client to read an answer. A connection whose answer is being worked on is never replaced. As
there are more places than answers at work, `/health` and `/metrics` are answered whatever other clients hold back. Only
`POST /v1/symbols` waits for a body, for 10 seconds at most.

A connection that makes no progress is cut after 20 seconds. One that waits for its next request is closed after 15. Let a client close its
idle connections sooner, as `SessionClient` does after 5 seconds, so that no request meets that close.

A request with both `Content-Length` and `Transfer-Encoding` gets 400, and its connection is closed: a proxy in front may take it for two.
The worker does not encrypt HTTP: publish the port through a proxy that does.
"""

NOT_NOW: Final = "Not now."

# What a user's own program imports: the module, and the names of it in the order of the page.
API: Final = (
    ("streams.config.session", ("SessionConfig",)),
    ("streams.config.settings", ("Settings",)),
    ("streams.client.producer", ("BarProducer",)),
    ("streams.client.session", ("SessionClient",)),
    ("streams.client.asession", ("AsyncSessionClient",)),
    ("streams.client.calls", ("Overview", "Snapshot", "CommandResult")),
    ("streams.client.answers", ("Place",)),
    ("streams.client.control", ("SessionControl",)),
    ("streams.client.sessions", ("read_sessions", "SessionState")),
    ("streams.client.deadletters", ("DeadLetters", "DeadLetter", "prepared", "Resend", "send_again", "Resent")),
    ("streams.consumer", ("SessionConsumer", "Position", "Hole", "BarsTopic", "HttpState", "WarmUp", "Source", "Wanted", "Snapshot")),
    ("streams.engine.reads", ("SessionData",)),
    ("streams.model.views", ("SymbolSnapshot", "SessionMetrics", "QuotesSnapshot", "TicksSnapshot", "GapInfo")),
    ("streams.replay.runner", ("replay", "Replay", "ReplayStep")),
    ("streams.history.sources.source", ("HistorySource",)),
    ("streams.history.store.store", ("HistoryStore", "StoredSeries", "WriteResult")),
    ("streams.model.records", ("Bar", "Quote", "Tick", "SessionBar", "ControlCommand")),
    ("streams.wire.messages", ("AnalysisEvent", "AnalysisBar", "SessionEvent", "CommandReply")),
)


def configuration() -> str:
    """The page on the config and the settings."""
    parts = [CONFIGURATION]
    parts += [_section(path, model) for path, model in _sections(SessionConfig)]
    table = "\n".join(line for line in (settings.__doc__ or "").splitlines() if line.startswith("|"))
    parts.append(f"## The environment\n\nOnly these variables count; an empty one is as none.\n\n{table}\n")
    return "\n".join(parts)


def _sections(model: type[BaseModel], path: str = "") -> list[tuple[str, type[BaseModel]]]:
    """Every model of the config with the key it stands under, the outer ones first."""
    found = [(path, model)]
    for name, field in model.model_fields.items():
        for inner in _models_in(field.annotation):
            key = f"{path}.{name}" if path else name
            many = get_origin(field.annotation) in (dict, tuple) or inner.__name__ == "HoursWindow"
            if inner.__name__ not in {one.__name__ for _, one in found}:
                found += _sections(inner, f"{key}[...]" if many else key)
    return found


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return list(dict.fromkeys(model for argument in get_args(annotation) for model in _models_in(argument)))


def _section(path: str, model: type[BaseModel]) -> str:
    lines = [f"## `{path}`" if path else "## The session", "", inspect.cleandoc(model.__doc__ or ""), ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {_kind(field)} | {_default(field)} | {_meaning(path, name, model)} |" for name, field in model.model_fields.items()
    ]
    return "\n".join([*lines, ""])


def _meaning(path: str, name: str, model: type[BaseModel]) -> str:
    text = model.model_fields[name].description or descriptions(model).get(name)
    if text:
        return text
    key = f"{path}.{name}" if path else name
    return f"See `{key}` below."


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    return f"`{json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)}`"


def _kind(field: FieldInfo) -> str:
    kind = _in_words(field.annotation)
    bounds = {name: getattr(one, name) for one in field.metadata for name in ("ge", "le") if getattr(one, name, None) is not None}
    if not bounds:
        return kind
    low, high = bounds.get("ge"), bounds.get("le")
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    return f"{kind}, at least {low}" if high is None else f"{kind}, at most {high}"


_WORDS: Final = {int: "whole number", float: "number", bool: "true or false", str: "text", type(None): "null"}


def _in_words(annotation: object) -> str:
    if isinstance(annotation, type) and annotation in _WORDS:
        return _WORDS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    name = getattr(origin, "__name__", str(origin))
    if name == "Literal":
        return ", ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return f"list of {_in_words(arguments[0])}"
    if origin is dict:
        return f"object by {_in_words(arguments[0])}"
    if name == "Annotated":
        return _in_words(arguments[0])
    if name in ("Union", "UnionType"):
        return " or ".join(dict.fromkeys(_in_words(one) for one in arguments))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    return getattr(annotation, "__name__", str(annotation))


_METHODS_OF: Final = {"AsyncSessionClient": "Its methods are those of `SessionClient`, to be awaited."}
_OF_PYDANTIC: Final = ("model_config", "settings_customise_sources")


def python() -> str:
    """The page on the classes and functions for programs."""
    parts = [PYTHON]
    for module_name, names in API:
        module = importlib.import_module(module_name)
        summary = inspect.cleandoc(module.__doc__ or "").split("\n\n")[0]
        parts.append(f"## {module_name}\n\n{summary}\n")
        parts += [_entry(getattr(module, name)) for name in names]
    return "\n".join(parts)


def _entry(thing: type | types.FunctionType) -> str:
    if isinstance(thing, types.FunctionType):
        return f"### `{thing.__name__}{_signature(thing)}`\n\n{_prose(thing)}\n"
    fields = getattr(thing, "__struct_fields__", None)
    head = f"### {thing.__name__}\n\n{_prose(thing)}\n"
    if fields is not None:
        annotations = inspect.get_annotations(thing)
        listed = ", ".join(f"`{name}: {annotations[name]}`" if name in annotations else f"`{name}`" for name in fields)
        head += f"\nFields: {listed}\n"
    if thing.__name__ in _METHODS_OF:
        return f"{head}\n{_METHODS_OF[thing.__name__]}\n"
    lines = []
    for name, member in vars(thing).items():
        if name.startswith("_") or name in _OF_PYDANTIC:
            continue
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if isinstance(plain, types.FunctionType):
            lines.append(f"- **`{name}{_signature(plain)}`**  \n{_indented(_prose(plain))}")
        elif isinstance(plain, property) or type(plain).__name__ == "cached_property":
            lines.append(f"- **`{name}`**  \n{_indented(_prose(plain))}")
    return head + ("\n" + "\n".join(lines) + "\n" if lines else "")


def _signature(function: types.FunctionType) -> str:
    signature = inspect.signature(function)
    parameters = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    text = str(signature.replace(parameters=parameters))
    return re.sub(r"'([^']*)'", r"\1", text)


def _prose(thing: object) -> str:
    """A docstring as Markdown: what stands under `Args:` and `Raises:` becomes a list."""
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    lines = []
    in_list = False
    for line in text.splitlines():
        if line in ("Args:", "Raises:", "Returns:"):
            in_list = True
            lines.append(f"*{line.removesuffix(':')}*")
            lines.append("")
        elif in_list and re.match(r"    \S", line):
            lines.append(f"- {line.strip()}")
        elif in_list and line.startswith("        "):
            lines.append(f"  {line.strip()}")
        else:
            in_list = in_list and not line
            lines.append(line)
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def http() -> str:
    """The page on the API over HTTP."""
    made = openapi()
    rows = []
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            named = [f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query"]
            body = operation.get("requestBody")
            if body is not None:
                schema = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                named = [f"`{name}`" for name in made["components"]["schemas"][schema]["properties"]]
            text = " ".join(operation["description"].split())
            rows.append(f"| `{method.upper()} {path}` | {text} | {', '.join(named) or 'none'} |")
    faults = []
    for methods in made["paths"].values():
        for operation in methods.values():
            faults += [(status, said["description"]) for status, said in operation["responses"].items() if int(status) >= 300]
    listed = [f"| {status} | {text} |" for status, text in sorted(dict(faults).items()) if text != NOT_NOW]
    table = "\n".join(["| | | parameters, or fields of the body |", "|---|---|---|", *rows])
    errors = "\n".join(["| status | |", "|---|---|", *listed])
    return HTTP.replace("{{PATHS}}", table).replace("{{ERRORS}}", errors)


PAGES: Final = {"configuration.md": configuration, "exchanges.md": exchanges, "http.md": http, "python.md": python}


def main(arguments: list[str]) -> int:
    """Write the pages, or say which differ."""
    differing = []
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        differing.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    for name in differing:
        print(f"docs/{name}: {'differs from the code, run make docs' if '--check' in arguments else 'written'}")
    return int(bool(differing) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
