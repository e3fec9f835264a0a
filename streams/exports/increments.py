"""What is new since the last export, to files: one a symbol and number, each bar version in one of them.

Three steps, and a run that is stopped between any two of them begins again and comes to the same file: the worker freezes what is
new under a number (`begin`), the bars are read from the committed state and put into a file whose name has the number (`write`),
the worker moves the position (`end`). A file that is there is whole, and is left as it is: what has changed since then is
in the one after it. The folder must be the same each time, and is one session's: names of files say nothing of that, a file in it does.

    exporter = NewExporter(Settings.load(session="main"), Path("out"), Format.CSV)
    for one in exporter.run(["SPY"]):
        print(one.path, one.bar_count)
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from glob import escape as glob_escape
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from streams.client.control import REPLY_TIMEOUT_SECONDS, SessionControl
from streams.config.settings import Settings
from streams.engine.state.session import SessionState
from streams.errors import CommandRefusedError, ExportError, NobodyThereError
from streams.exports.committed import CommittedState
from streams.exports.content import Content
from streams.exports.rows import Format
from streams.history.store.files import PART, create_file, replace_file
from streams.model.records import CommandKind, ControlCommand, ReplyStatus
from streams.model.rows import ExportRow, SessionRow, SymbolRow, export_key, symbol_key
from streams.times import Clock, SystemClock
from streams.wire.codec import Codec
from streams.wire.messages import CommandReply
from streams.wire.topics import escape

SENDER: Final = "streams export"
OWNER_FILE: Final = ".streams-export.json"


class Begun(Struct, frozen=True):
    """An export that is under way, as the worker answers: of which life of the symbol, and its number."""

    symbol: str
    epoch: int
    incarnation: int
    number: int

    @property
    def stem(self) -> str:
        """The name of its file without the ending: in order of its number, also among those of other lives of the symbol."""
        return f"{escape(self.symbol)}-{self.epoch:03d}-{self.incarnation:05d}-{self.number:06d}"


class Written(Struct, frozen=True):
    """What became of a symbol: its file, how many bars went into it, or None when the file was there from a run that was stopped."""

    symbol: str
    number: int
    path: Path
    bar_count: int | None


class _Answer(Struct, frozen=True):
    epoch: int
    incarnation: int
    number: int
    is_pending: bool


class NewExporter:
    """Exports what is new of a session's symbols.

    Args:
        settings: where the broker is, and which session.
        folder: where the files are put.
        form: how they are written.
        internal: export also while the session is inactive.
        timeout_seconds: how long to wait for the worker's answers, and for what it has committed.
        codec: other schema ids than the project's.
        clock: for the times of commands, and for deadlines.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        form: Format,
        *,
        internal: bool = False,
        timeout_seconds: float = REPLY_TIMEOUT_SECONDS,
        codec: Codec | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._form = form
        self._internal = internal
        self._timeout_seconds = timeout_seconds
        self._codec = codec
        self._clock = clock or SystemClock()

    def run(self, symbols: Collection[str] | None = None) -> list[Written]:
        """Export what is new of these symbols, or of all; those of which nothing is new are not among the results.

        Raises:
            ExportError: the session is inactive, a symbol is not in it, or a file can't be written.
            CommandRefusedError: the worker refused; what was exported until then stays so.
            NobodyThereError: no broker, or no worker, answered in time.
        """
        with (
            CommittedState(self._settings, symbols=symbols, codec=self._codec, clock=self._clock) as committed,
            SessionControl(self._settings, codec=self._codec, clock=self._clock, sender=SENDER) as control,
        ):
            return self.export(control, committed, symbols)

    def export(self, control: SessionControl, committed: CommittedState, symbols: Collection[str] | None) -> list[Written]:
        """The same by connections that are there already."""
        committed.read(self._timeout_seconds)
        wanted = chosen(committed, symbols)
        check_active(committed.session, internal=self._internal)
        claim(self._folder, committed.session)
        begun = self.begin(control, wanted)
        written = self.write(committed, begun)
        self.end(control, begun)
        return written

    def begin(self, control: SessionControl, symbols: Sequence[str]) -> list[Begun]:
        """The first step; symbols of which nothing is new are left out."""
        replies = self._ask(control, [self._command(CommandKind.BEGIN_EXPORT, symbol) for symbol in symbols])
        answers = [(symbol, msgspec.json.decode(reply.text or "", type=_Answer)) for symbol, reply in zip(symbols, replies, strict=True)]
        return [Begun(symbol, one.epoch, one.incarnation, one.number) for symbol, one in answers if one.is_pending]

    def write(self, committed: CommittedState, begun: Sequence[Begun]) -> list[Written]:
        """The second step; files that are there are left as they are."""
        there = {one.symbol: path for one in begun if (path := self._find(one)) is not None}
        missing = [one for one in begun if one.symbol not in there]
        state = self._read(committed, missing) if missing else None
        written = []
        for one in begun:
            if one.symbol in there:
                written.append(Written(one.symbol, one.number, there[one.symbol], None))
            elif state is not None:
                path = self._folder / f"{one.stem}.{self._form}"
                content = Content.new(state, one.symbol)
                for left in self._folder.glob(f".{glob_escape(one.stem)}.*{PART}"):
                    left.unlink(missing_ok=True)  # by an exporter that was killed while it wrote
                put(path, content, self._form)
                written.append(Written(one.symbol, one.number, path, content.count()))
        return written

    def end(self, control: SessionControl, begun: Sequence[Begun]) -> None:
        """The last step."""
        self._ask(
            control,
            [
                self._command(CommandKind.END_EXPORT, one.symbol, export_number=one.number, epoch=one.epoch, incarnation=one.incarnation)
                for one in begun
            ],
        )

    def _read(self, committed: CommittedState, begun: Sequence[Begun]) -> SessionState:
        """A committed state in which these exports are under way: an answer may be there a moment before the rows of its transaction."""
        deadline = self._clock.monotonic() + self._timeout_seconds
        while True:
            committed.read(self._timeout_seconds)
            lacking = [one for one in begun if not _is_under_way(committed, one)]
            if not lacking:
                check_active(committed.session, internal=self._internal)
                return committed.state()
            if self._clock.monotonic() > deadline:
                what = f"export {lacking[0].number} of {lacking[0].symbol}"
                raise NobodyThereError(f"{what} is not in the committed state after {self._timeout_seconds:g} s, though it was begun")

    def _find(self, begun: Begun) -> Path | None:
        paths = (self._folder / f"{begun.stem}.{form}" for form in Format)
        return next((path for path in paths if path.exists()), None)

    def _ask(self, control: SessionControl, commands: Sequence[ControlCommand]) -> list[CommandReply]:
        replies = control.send_all(commands, timeout_seconds=self._timeout_seconds)
        for reply in replies:
            if reply.status == ReplyStatus.FAILED:
                raise CommandRefusedError(reply.reason or f"{reply.kind} {reply.symbol} failed, and the worker gave no reason")
        return replies

    def _command(
        self, kind: CommandKind, symbol: str, *, export_number: int | None = None, epoch: int | None = None, incarnation: int | None = None
    ) -> ControlCommand:
        return ControlCommand(
            id=str(uuid.uuid4()), kind=kind, symbol=symbol, sent_us=self._clock.now_us(), sender=SENDER,
            export_number=export_number, epoch=epoch, incarnation=incarnation,
        )  # fmt: skip


def _is_under_way(committed: CommittedState, begun: Begun) -> bool:
    """Whether the state has come to where the export was begun.

    Raises:
        ExportError: it is over, or the symbol is gone.
    """
    symbol, row = committed.row(symbol_key(begun.symbol)), committed.row(export_key(begun.symbol))
    # It was there before the export was begun.
    if committed.session.epoch > begun.epoch or not isinstance(symbol, SymbolRow) or symbol.incarnation > begun.incarnation:
        raise ExportError(f"{begun.symbol} was removed while it was exported: what was new of it is gone")
    if not isinstance(row, ExportRow) or row.incarnation < begun.incarnation or row.number < begun.number:
        return False
    if row.number > begun.number or not row.is_pending:
        raise ExportError(
            f"export {begun.number} of {begun.symbol} was ended by another exporter meanwhile: a symbol has one export position, "
            "so one exporter and one folder must be all that export it"
        )
    return True


def chosen(committed: CommittedState, symbols: Iterable[str] | None) -> list[str]:
    """These symbols, each once, in their order; all when none are named.

    Raises:
        ExportError: one of them is not in the session.
    """
    there = committed.symbols()
    wanted = there if symbols is None else list(dict.fromkeys(symbols))
    for symbol in wanted:
        if symbol not in there:
            raise ExportError(f"{symbol} is not in session {committed.session.session!r}: streams symbol-list shows what is")
    return wanted


def check_active(session: SessionRow, *, internal: bool) -> None:
    """What a session has is for everybody while it is active only.

    Raises:
        ExportError: it is not.
    """
    if not session.active and not internal:
        raise ExportError(
            f"session {session.session!r} is inactive ({session.gate_reason}), so what it has may be out of date: "
            "--internal exports it all the same"
        )


def claim(folder: Path, session: SessionRow) -> None:
    """Make the folder this session's, unless it is already.

    Files of another one, or of one of the same name on a broker that is no more, would be taken for its own.

    Raises:
        ExportError: it is another's, or can't be written to.
    """
    path = folder / OWNER_FILE
    own = {"session": session.session, "control_topic_id": session.control_topic_id}
    try:
        create_file(path, msgspec.json.encode(own) + b"\n")
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except OSError as error:
        raise ExportError(f"{folder}: can't be written to: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ExportError(f"{path}: it should say whose exports the folder has ({error}): use another folder") from None
    if found != own:
        other = found.get("session")
        whose = f"session {other!r}" if other != session.session else f"a former session {other!r}, begun on another control topic"
        raise ExportError(f"{folder} has exports of {whose}: use another folder")


def put(path: Path, content: Content, form: Format) -> None:
    """Write a file, whole or not at all.

    Raises:
        ExportError: it can't be written, or pyarrow is not installed.
    """

    def write(beside: Path) -> None:
        with beside.open("wb") as stream:
            content.write(form, stream)

    if not path.parent.is_dir():
        raise ExportError(f"{path}: there is no folder {path.parent}: make it, or name another one")
    try:
        replace_file(path, write)
    except OSError as error:
        raise ExportError(f"{path}: can't be written: {error.strerror}") from None
