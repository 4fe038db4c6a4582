"""Weir as a Greengrass component: where its configuration comes from, and what becomes of a new one.

Owns the way from the document that the nucleus holds to the settings that a run goes by: judged as a whole, applied,
and kept in the state, so that one that will not do costs a warning and not the forwarding. Knows nothing of how records
are forwarded.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TypeVar

from weir.core.configuration import judge
from weir.core.errors import ConfigurationRefused, Problem
from weir.core.nucleus import Answer, ConnectionGone, NotFound, Nucleus, NucleusFailed
from weir.core.reading import known
from weir.core.settings import Settings
from weir.core.ways import offered
from weir.forwarder.inbox import Inbox
from weir.greengrass.follower import Follower
from weir.greengrass.reading import Document, Reading
from weir.report.log import Log
from weir.store import accepted
from weir.wiring import assembly, configuration
from weir.wiring.machine import Machine

NUCLEUS = "aws.greengrass.Nucleus"  # what lite understands as well
ENDPOINT = "iotDataEndpoint"
RETRY_SECONDS = 5.0
PATIENCE_SECONDS = 60.0  # for a nucleus that does not say what the configuration is, where one was kept
SHOWN_PROBLEMS = 3

T = TypeVar("T")


class Component:
    """The configuration of this process in the hands of a nucleus."""

    def __init__(self, nucleus: Nucleus, arguments: argparse.Namespace, inbox: Inbox, log: Log) -> None:
        """Take the nucleus, and the command line, whose flags come on top of every document."""
        self.offers = offered(os.environ)
        self._nucleus = nucleus
        self._arguments = arguments
        self._inbox = inbox
        self._log = log
        self._machine: Machine | None = None
        self._document: Document = {}  # accepted last
        self._unkept = False  # and not in the state yet
        self._refused: Document | None = None
        self._problems: list[Problem] = []
        self._follower = Follower(nucleus, objection=self.objection, accept=self._accept, wake=inbox.wake)

    # -- at the start -------------------------------------------------------------------------------------------------

    def first_settings(self) -> Settings:
        """Ask the nucleus for the configuration and give the settings of it, or of the last one that would do.

        Raises ConfigurationRefused where this is the first start and the configuration will not do. Later on a start
        waits for one that does: to exit again and again would only make the nucleus give this component up.
        """
        self._follower.begin()
        while True:
            document = self._first_document()
            try:
                settings = self._settings_of(document)
            except ConfigurationRefused as refusal:
                kept = self._kept(document)
                if kept is None:
                    raise
                self._refuse(document, refusal.problems)
                settings_kept = self._settings_kept(kept)
                if settings_kept is not None:
                    return settings_kept
                self._wait(RETRY_SECONDS)
            else:
                self._take(document)
                return settings

    def _first_document(self) -> Document:
        clock = assembly.CLOCK.monotonic
        give_up = clock() + PATIENCE_SECONDS
        told = False
        while True:
            try:
                self._ask(self._nucleus.connect())
                document = self._read()
                self.offers = offered(os.environ, self._endpoint())
            except NucleusFailed as failure:
                if not told:
                    self._log("connect_failed", to="nucleus", reason=str(failure))
                told = True
                kept = self._kept({}) if clock() >= give_up else None
                if kept is not None:
                    return kept
                self._wait(RETRY_SECONDS)
            else:
                return document

    def _read(self) -> Document:
        reading = Reading(self._nucleus, self._inbox.wake)
        while not reading.done():
            self._wait(RETRY_SECONDS)
        try:
            return reading.result()
        except NotFound:
            return {}  # a recipe without a default configuration: everything is as it is by default

    def _endpoint(self) -> str | None:
        """Ask which broker the nucleus itself uses; not every nucleus tells."""
        try:
            found = self._ask(self._nucleus.configuration(NUCLEUS, ENDPOINT))
            return str(found.get(ENDPOINT) or "") or None
        except ConnectionGone:
            raise  # it may tell yet, and there might be a better way than through it
        except NucleusFailed:
            return None

    def _ask(self, answer: Answer[T]) -> T:
        answer.add_done_callback(lambda _: self._inbox.wake())
        while not answer.done():
            self._wait(RETRY_SECONDS)
        return answer.result(0)

    def _wait(self, seconds: float) -> None:
        now = assembly.CLOCK.monotonic()
        due = self._nucleus.advance(now)
        self._inbox.wait(seconds if due is None else max(0.0, min(seconds, due - now)), 1)

    def _kept(self, document: Document) -> Document | None:
        """Give the configuration that was accepted last, from where this document, or none, has its state."""
        paths = [
            judge(self._with_flags(given), configuration.surroundings(os.environ))[0].state.path
            for given in (document, {})
        ]
        return next((kept for path in paths if (kept := accepted.kept(Path(path))) is not None), None)

    def _settings_kept(self, kept: Document) -> Settings | None:
        """Give the settings of what was kept; a file that is missing just now is then a matter for the connection.

        A newer version may have kept it, before a rollback: its keys are then as unknown here as those of a document
        that is refused for them, and what is left of it will do.
        """
        settings, findings = judge(self._with_flags(known(kept)), configuration.surroundings(os.environ))
        if findings.problems:
            return None
        self._document = kept
        return settings

    # -- while it runs ------------------------------------------------------------------------------------------------

    def attend(self, machine: Machine) -> None:
        """Look after the configuration of this machine from now on."""
        self._machine = machine
        machine.attendant = self
        self._judge_health()
        self._keep()

    def advance(self, now: float) -> float | None:
        """Look after the nucleus and the configuration; say when to be called next (monotonic seconds)."""
        times = [time for time in (self._nucleus.advance(now), self._follower.advance(now)) if time is not None]
        return min(times, default=None)

    def objection(self, document: Document) -> str | None:
        """Say what is wrong with a document, in one text for whoever deploys it; None if nothing is."""
        try:
            self._settings_of(document)
        except ConfigurationRefused as refusal:
            return "; ".join(map(str, refusal.problems))
        return None

    def _accept(self, document: Document) -> None:
        if self._machine is None:
            return
        if document == self._document:
            self._refused, self._problems = None, []  # back to what is in force
            self._keep()
        else:
            try:
                settings = self._settings_of(document)
            except ConfigurationRefused as refusal:
                self._refuse(document, refusal.problems)
            else:
                self._machine.apply(settings)
                self._take(document)
                self._keep()
        self._judge_health()

    def _take(self, document: Document) -> None:
        self._document, self._unkept = document, True
        self._refused, self._problems = None, []

    def _refuse(self, document: Document, problems: list[Problem]) -> None:
        if (document, problems) == (self._refused, self._problems):
            return  # it was said
        self._refused, self._problems = document, problems
        for problem in problems:
            self._log("config_refused", key=problem.path, problem=problem.message)

    def _judge_health(self) -> None:
        if self._machine is None:
            return
        shown = "; ".join(map(str, self._problems[:SHOWN_PROBLEMS]))
        remedy = f"deploy a configuration that will do, the last one that did is in force: {shown}"
        self._machine.health.judge("configRefused", assembly.CLOCK.wall(), remedy, wrong=bool(self._problems))

    def _keep(self) -> None:
        if self._machine is None or not self._unkept:
            return
        try:
            accepted.keep(Path(self._machine.settings.state.path), self._document)
        except OSError:
            return  # the disk is full, which is told in any case; it is tried again when the whole is read again
        self._unkept = False

    # -- the settings of a document -----------------------------------------------------------------------------------

    def _settings_of(self, document: Document) -> Settings:
        return configuration.accepted(self._with_flags(document), offers=self.offers)

    def _with_flags(self, document: Document) -> Document:
        return configuration.document_of(self._arguments, base=document)
