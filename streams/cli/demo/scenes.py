"""`streams demo`: all of it once, on real bars, with a crash in the middle; what is shown is checked.

Real one-second bars of SPY (7 October 2013) are moved to now and sent in real time. IBM is added with thirty minutes of bars
behind it, the worker is killed, IBM is removed. The demo reads along as a consumer would and fails if anything that it
claims is not so.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from streams.broker import LocalBroker
from streams.broker.ports import free_port
from streams.cli.demo.parts import (
    DemoError,
    DemoWorker,
    Feeder,
    Seen,
    Witness,
    age_seconds,
    completeness_words,
    rebased,
)
from streams.client.control import SessionControl
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.errors import BarFileError, BrokerError
from streams.history.lean.files import read_lean
from streams.model.records import Bar
from streams.times import HOUR_US, MINUTE_US, SECOND_US, SystemClock, from_us

app = typer.Typer()

SESSION: Final = "demo"
FIRST: Final = "SPY"
SECOND: Final = "IBM"
INTERVAL: Final = "1s"
BEHIND_US: Final = 30 * MINUTE_US
THRESHOLD_SECONDS: Final = 20
SCENE_SECONDS: Final = 30.0
_DATA: Final = Path(__file__).parents[3] / "examples" / "data" / "lean" / "equity" / "usa" / "second"


@app.command(name="demo", epilog="Example: streams demo --keep")
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Stay up when all is shown, to try things by hand; Ctrl-C ends it.")] = False,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="LEAN second bars of SPY and IBM.", show_default=False)] = _DATA,
) -> None:
    """Show it all once, with real bars and a crash: under a minute, exit code 0 when every claim held."""
    console = Console(highlight=False, soft_wrap=True)
    folder = Path(tempfile.mkdtemp(prefix="streams-demo-"))
    failed = False
    try:
        failed = not Demo(console, folder, data).play(keep=keep)
    except (DemoError, BrokerError, BarFileError) as error:
        failed = True
        console.print(f"[red]the demo failed:[/] {escape(str(error))}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("\ninterrupted")
        raise typer.Exit(130) from None
    finally:
        if failed:
            console.print(f"what the worker and the broker logged is kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if failed:
        raise typer.Exit(1)


class Demo:
    """The scenes, in order. `play` sets up, runs them and takes everything down again, whatever happens."""

    def __init__(self, console: Console, folder: Path, data: Path) -> None:
        self._console = console
        self._folder = folder
        self._data = data
        self._clock = SystemClock()
        self._closers: list[Callable[[], object]] = []
        self._claims: list[tuple[bool, str]] = []

    def play(self, *, keep: bool) -> bool:
        """Run the demo; gives whether every claim held."""
        began = self._clock.monotonic()
        try:
            self._set_up()
            self._bars_flow()
            self._add_second()
            self._crash()
            self._remove_second()
            self._judge()
            seconds = self._clock.monotonic() - began
            held = all(is_so for is_so, _ in self._claims)
            self._console.print(f"\n{'[green]all of it held' if held else '[red]not all of it held'}[/] ({seconds:.0f} s)")
            if keep and held:
                self._stay()
            return held
        finally:
            for close in reversed(self._closers):
                close()

    # -------------------------------------------------------------------------------------------------- scenes

    def _set_up(self) -> None:
        self._bars = {symbol: list(self._read(symbol)) for symbol in (FIRST, SECOND)}
        self._title("a broker and a worker")
        broker = LocalBroker(self._folder / "broker")
        self._closers.append(broker.down)
        status = broker.up()
        self._say(f"Apache Kafka {status.kafka_version} runs on {status.bootstrap_servers}")
        self._settings = Settings.load(bootstrap_servers=status.bootstrap_servers, session=SESSION)
        config = self._folder / "session.json"
        config.write_text(self._config().to_json(), encoding="utf-8")
        self._worker = DemoWorker(config, self._settings, self._clock, self._folder / "worker.log", free_port())
        self._closers.append(self._worker.stop)
        self._worker.wait_until_active(SCENE_SECONDS)
        self._say(f"session {SESSION!r} is open: {FIRST}, one-second bars, bars older than {THRESHOLD_SECONDS} s are stale")

    def _bars_flow(self) -> None:
        self._title("real bars of 7 October 2013, moved to now, in real time")
        self._feeder, self._witness = Feeder(self._settings, self._clock), Witness(self._settings, self._clock, self._show)
        self._closers += [self._feeder.stop, self._witness.stop]
        self._witness.start()
        first = self._bars[FIRST][0]
        now_us = self._clock.now_us()
        self._shift_us = now_us - now_us % SECOND_US - first.start_us
        self._feeder.add(rebased(self._bars[FIRST], self._shift_us))
        self._feeder.start()
        self._wait_for_bars(FIRST, 5)

    def _add_second(self) -> None:
        self._title(f"{SECOND} is added, with thirty minutes of bars behind it")
        backlog = self._feeder.add(rebased(self._bars[SECOND], self._shift_us - BEHIND_US))
        self._say(f"{backlog} bars of {SECOND} lie in its topic; a strategy that took them for live would act on stale prices")
        before = len(self._witness.seen)
        self._command("add-symbol", SECOND)
        self._wait_for_kind("deactivated", before)
        self._wait_for_kind("activated", before)
        gate = {one.event.kind: one for one in self._witness.seen[before:] if one.event.gate is not None}
        shut_ms = (gate["activated"].event.emitted_us - gate["deactivated"].event.emitted_us) / 1000
        how_long = f"for {shut_ms:.0f} ms" if shut_ms else "within one transaction"
        self._say(f"the gate was shut {how_long} while the backlog was read, out of sight")
        self._backlog = backlog
        self._wait_for_bars(SECOND, 2)

    def _crash(self) -> None:
        self._title("kill -9")
        before = len(self._witness.seen)
        pid = self._worker.kill()
        self._say(f"$ kill -9 {pid}   (the bars go on; the supervisor starts the worker again)")
        killed_us = self._clock.now_us()
        self._wait_for_bars(FIRST, 1, before, emitted_after_us=killed_us)
        self._say(f"back after {(self._clock.now_us() - killed_us) / SECOND_US:.1f} s, and on with the next record")
        self._wait_for_bars(FIRST, 4, before)

    def _remove_second(self) -> None:
        self._title(f"{SECOND} is removed")
        self._feeder.drop(SECOND)
        before = len(self._witness.seen)
        self._command("remove-symbol", SECOND)
        self._wait_for_kind("symbol_removed", before)
        self._wait_for_bars(FIRST, 2, before)

    def _judge(self) -> None:
        self._title("what the consumer saw")
        self._feeder.stop()
        witness, sent = self._witness, self._feeder.sent
        witness.wait_for("the last bar", lambda seen: self._accounted(FIRST) >= sent[FIRST], SCENE_SECONDS)
        bars = [one for one in witness.seen if one.event.bar is not None]
        oldest = max((one.event.emitted_us - one.event.bar.end_us) / SECOND_US for one in bars if one.event.bar is not None)
        sequences = [one.event.sequence for one in witness.seen]
        self._claim(
            oldest <= THRESHOLD_SECONDS,
            f"no bar was older than {THRESHOLD_SECONDS} s when it was published; the oldest was {oldest:.1f} s",
        )
        self._claim(self._published_only_while_open(), "no bar came while the gate was shut")
        # Heartbeats have a place in the sequence too. The consumer counts them, and reports a hole where a number is missing.
        contiguous = not witness.gaps and sequences[0] == 1 and sequences == sorted(set(sequences))
        self._claim(contiguous, f"the sequence is contiguous: 1 to {sequences[-1]}, crash included")
        for symbol in (FIRST, SECOND):
            starts = [one.event.bar.start_us for one in witness.bars(symbol, INTERVAL) if one.event.bar is not None]
            self._claim(len(starts) == len(set(starts)) and starts == sorted(starts), f"{symbol}: no bar came twice or out of order")
            published, held = len(starts), witness.held_back(symbol, INTERVAL)
            self._claim(
                published + held == sent[symbol],
                f"{symbol}: {published} bars seen + {held} held back = {published + held}, {sent[symbol]} were sent: none was lost",
            )
        self._claim(witness.held_back(SECOND, INTERVAL) >= self._backlog - THRESHOLD_SECONDS, f"the backlog of {SECOND} was never shown")

    # --------------------------------------------------------------------------------------------------- parts

    def _read(self, symbol: str) -> list[Bar]:
        """The day's bars from the open on."""
        bars = list(read_lean(self._data / symbol.lower()))
        opening = next(bar for bar in bars if bar.start_us % (24 * HOUR_US) >= 13 * HOUR_US + 30 * MINUTE_US)
        return [bar for bar in bars if bar.start_us >= opening.start_us]

    def _config(self) -> SessionConfig:
        # The day turns twelve hours from now, so that the demo runs at any time of day and on a Sunday.
        turn = from_us(self._clock.now_us() - 12 * HOUR_US).strftime("%H:00")
        return SessionConfig.from_dict(
            {
                "session_name": SESSION,
                "exchange": "24/7",
                "hours": {"open": turn, "close": turn},
                "session_data_config": {
                    "symbols": [FIRST],
                    "streams": [INTERVAL],
                    "derived_intervals": ["5s"],
                    "grace_seconds": 2,
                    "streaming": {"catchup_threshold_seconds": THRESHOLD_SECONDS},
                },
            }
        )

    def _command(self, verb: str, symbol: str) -> None:
        self._say(f"$ streams {verb} {symbol}")
        with SessionControl(self._settings, sender="demo") as control:
            run = control.add_symbol if verb == "add-symbol" else control.remove_symbol
            reply = run(symbol)
        self._say(f"{reply.status}: {reply.symbol}" if reply is not None else "sent")

    def _wait_for_bars(self, symbol: str, count: int, since: int = 0, emitted_after_us: int = 0) -> None:
        """Wait for `count` bars of a symbol that were emitted after an instant."""

        def arrived(seen: list[Seen]) -> bool:
            found = [one.event for one in seen if one.event.symbol == symbol and one.event.interval == INTERVAL]
            return sum(event.bar is not None and event.emitted_us > emitted_after_us for event in found) >= count

        self._witness.wait_for(f"{count} bars of {symbol}", arrived, SCENE_SECONDS, since)

    def _wait_for_kind(self, kind: str, since: int) -> None:
        self._witness.wait_for(f"a record {kind}", lambda seen: any(one.event.kind == kind for one in seen), SCENE_SECONDS, since)

    def _accounted(self, symbol: str) -> int:
        return len(self._witness.bars(symbol, INTERVAL)) + self._witness.held_back(symbol, INTERVAL)

    def _published_only_while_open(self) -> bool:
        is_open = False
        for one in self._witness.seen:
            if one.event.gate is not None:
                is_open = one.event.gate.active
            elif one.event.bar is not None and not is_open:
                return False
        return True

    def _stay(self) -> None:
        feeder = Feeder(self._settings, self._clock)
        self._closers.append(feeder.stop)
        for symbol, behind_us in ((FIRST, 0), (SECOND, BEHIND_US)):
            now_us = self._clock.now_us()
            feeder.add([bar for bar in rebased(self._bars[symbol], self._shift_us - behind_us) if bar.end_us > now_us])
        feeder.start()
        self._title("it stays up; in another terminal:")
        options = f"--bootstrap {self._settings.bootstrap_servers} --session {SESSION}"
        for line in (f"streams status {options}", f"streams watch {options}", f"streams add-symbol {SECOND} {options}"):
            self._say(line)
        self._say("Ctrl-C ends it")
        threading.Event().wait()

    # -------------------------------------------------------------------------------------------------- output

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold cyan]▌ {escape(text)}[/]")

    def _say(self, text: str) -> None:
        self._console.print(f"  {escape(text)}")

    def _claim(self, is_so: bool, text: str) -> None:
        self._claims.append((is_so, text))
        self._console.print(f"  {'[green]✓[/]' if is_so else '[red]✗ NOT SO:[/]'} {escape(text)}")

    def _show(self, seen: Seen) -> None:
        event = seen.event
        at = f"{from_us(seen.received_us).astimezone():%H:%M:%S}"
        lead = f"  [dim]{at} #{event.sequence:<4}[/]"
        if event.bar is not None:
            bar = event.bar
            prices = f"close {bar.close:<9g} volume {bar.volume:<8g}"
            self._console.print(f"{lead} {event.symbol:<4} {event.interval:<3} {prices} [dim]age {age_seconds(seen):.2f} s[/]")
        elif event.gate is not None:
            lagging = ", ".join(f"{one.symbol} by {one.lag_seconds:.0f} s" for one in event.gate.lagging)
            text = "[bold green]the gate opens[/]" if event.gate.active else f"[bold red]the gate closes: lagging {lagging}[/]"
            self._console.print(f"{lead} {text}")
        elif event.extent is not None:
            what = f"{event.extent.count} bars of {event.symbol} {event.interval} were {event.kind.replace('_', ' ')}"
            self._console.print(f"{lead} [yellow]{what}[/]")
        elif event.interval_complete is not None:
            self._console.print(f"{lead} [dim]{escape(completeness_words(event))}[/]")
        else:
            self._console.print(f"{lead} [bold]{event.kind.replace('_', ' ')}: {event.symbol or SESSION}[/]")
