"""A forwarder with everything around it: signals, control socket, log, and the time it is to run.

Owns when a run ends and what is said meanwhile. Knows nothing of how records are forwarded.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from weir import __version__
from weir.control.server import ControlServer
from weir.core import difference
from weir.core.accounting import DROPPED, QUARANTINED
from weir.core.settings import Settings
from weir.core.view import View
from weir.forwarder.forwarder import Forwarder
from weir.forwarder.health import Health
from weir.forwarder.inbox import Inbox
from weir.forwarder.ledger import Ledger, Legacy
from weir.report import status
from weir.report.log import Log
from weir.store.directory import StateDirectory
from weir.wiring import answers, assembly, quotas
from weir.wiring.reporting import Display, Reporting

UNFINISHED = 3  # the exit code where something is pending, or not committed


TakeRoute = Callable[[Settings], assembly.Route]


class Attendant(Protocol):
    """What looks after something of its own in every turn, in the loop's thread."""

    def advance(self, now: float) -> float | None:
        """Do what is due at `now` (monotonic seconds); say when to be called next, None for not before a wake-up."""


class Machine:
    """One run, from its start to its last commit."""

    def __init__(
        self,
        *,
        settings: Settings,
        directory: StateDirectory,
        inbox: Inbox,
        take_route: TakeRoute,
        log: Log,
        display: Display | None = None,
        patient: bool = True,
    ) -> None:
        """Open the store and load what it knows; nothing is read or sent yet.

        Whoever is `patient` stays up with a store that cannot be used as it is.
        """
        self.settings = settings
        self.inbox = inbox
        self.health = Health(log)
        self.attendant: Attendant | None = None
        self._directory = directory
        self._take_route = take_route
        self._log = log
        self._patient = patient
        self._about: dict[str, object] = {}
        self._stopping = False
        self._hurry = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)  # from here on a stop is one in order
        self.ledger, self.forwarder = self._assembled(None)
        self._reporting = Reporting(self, log, display)

    def _assembled(self, legacy: Legacy | None) -> tuple[Ledger, Forwarder]:
        settings, log = self.settings, self._log
        transport, self._about = self._take_route(settings)
        make_store = assembly.store_maker(settings, self._directory, log)
        make_source = assembly.source_maker(settings, self.inbox, log, transport.message_bytes)
        if legacy is not None and legacy.pipes:
            assembly.read_on(legacy.pipes, settings, transport.message_bytes)
        ledger = Ledger(
            settings, make_store, make_source, self._directory.free_bytes, log, legacy=legacy, patient=self._patient
        )
        forwarder = Forwarder(
            settings=settings,
            ledger=ledger,
            transport=transport,
            inbox=self.inbox,
            clock=assembly.CLOCK,
            health=self.health,
            notice=log,
        )
        return ledger, forwarder

    # -- running ------------------------------------------------------------------------------------------------------

    def run(self, *, once: bool, drain_timeout: float) -> int:
        """Forward until told to stop, or until there is nothing more to forward. Returns the exit code."""
        control = ControlServer(self._directory.path, self.inbox, lambda request: answers.answer(self, request))
        self._say_started()
        self.forwarder.transport.start()
        code = 0
        while not self._stopping:
            due = self.attendant.advance(assembly.CLOCK.monotonic()) if self.attendant is not None else None
            self.forwarder.turn()
            self._reporting.advance()
            control.advance(assembly.CLOCK.monotonic())
            if self._finished(once=once):
                break
            if once and self._stuck(drain_timeout):
                code = UNFINISHED
                break
            self.forwarder.wait(due)
        self._reporting.hide()
        if not self.forwarder.stop(hurried=lambda: self._hurry):
            code = UNFINISHED
        control.close()
        self._say_stopped()
        return code

    # -- other settings -----------------------------------------------------------------------------------------------

    def apply(self, settings: Settings) -> None:
        """Go by other settings from now on: at once where records on their way do not notice, else by beginning anew.

        The state directory stays what it is until the next start: what lies in it is not left behind.
        """
        later = [] if settings.state.path == self.settings.state.path else ["state.path"]
        settings = difference.with_state_path(settings, self.settings.state.path)
        keys = difference.changed_keys(self.settings, settings)
        live = difference.applies_live(self.settings, settings)
        old, self.settings = self.settings, settings
        self._log.set(settings.log.level, settings.log.format)
        if live:
            self.forwarder.apply(settings)
        else:
            self._begin_anew(old)
        self._reporting.apply()
        if keys or later:
            at_start = ",".join(later) or None
            about = {} if live else {"transport": self.forwarder.transport.name, **self._about}
            self._log("config_applied", keys=",".join(keys), anew=not live, atNextStart=at_start, **about)
            quotas.say(settings, self._log)

    def _begin_anew(self, old: Settings) -> None:
        """Stop in order and put the parts together again; a pipe that is still wanted is read on, as it was."""
        keep = difference.pipes_that_go_on(old, self.settings)
        paused = self.forwarder.paused
        self.forwarder.stop(hurried=lambda: self._stopping, keep=keep)
        self.ledger, self.forwarder = self._assembled(self.ledger.close(keep))
        self.forwarder.paused = paused
        self.forwarder.transport.start()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._hurry = self._stopping
        self._stopping = True
        self.inbox.wake()

    def _finished(self, *, once: bool) -> bool:
        """Tell whether nothing more can come: the end of every pipe, or with `once` of everything."""
        streams = self.ledger.streams
        if not once and (not streams or any(stream.source.replayable for stream in streams)):
            return False
        return self.forwarder.drained

    def _stuck(self, drain_timeout: float) -> bool:
        return assembly.CLOCK.monotonic() - self.forwarder.progress_at > drain_timeout

    # -- looking ------------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Show this forwarder as it is now."""
        forwarder, ledger = self.forwarder, self.ledger
        store = ledger.state if ledger.opened else None
        return View(
            epoch=store.epoch if store else None,
            epoch_since=store.epoch_since if store else None,
            streams=ledger.views(forwarder.window.by_stream()),
            possible_twins=store.possible_twins if store else 0,
            state_lost=store.state_lost if store else 0,
            duplicate_bound=self.settings.duplicate_bound,
            bytes_written=ledger.bytes_written,
            oldest_at=ledger.oldest_at(),
            updated=ledger.updated,
            state=forwarder.link.state,
            held_by=forwarder.held_by,
            thing_name=self.settings.thing_name,
            transport=forwarder.transport.name,
            pid=os.getpid(),
            degraded=forwarder.health.degraded,
        )

    # -- saying -------------------------------------------------------------------------------------------------------

    def _say_started(self) -> None:
        self._log(
            "started",
            version=__version__,
            transport=self.forwarder.transport.name,
            **self._about,
            statePath=str(self._directory.path),
            epoch=self.view().epoch,
            **self._account(),
        )

    def _say_stopped(self) -> None:
        self._reporting.close()
        self._log("stopped", **self._account())

    def _account(self) -> dict[str, int]:
        """Give both sides of the law, so that whoever adds up one line finds it to hold."""
        counts = status.totals(self.view())
        return {
            **{name: counts[name] for name in ("read", "delivered", "unconfirmed", "handedOver", "pending")},
            "dropped": sum(counts[name] for name in DROPPED.values()),
            "quarantined": sum(counts[name] for name in QUARANTINED.values()),
        }
