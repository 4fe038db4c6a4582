"""`weir run`: forwards until it is told to stop."""

from __future__ import annotations

import argparse
import ctypes
import io
import os
import resource
import signal
import sys
from pathlib import Path
from types import FrameType

import msgspec

from weir.core.errors import ConfigurationRefused, Problem
from weir.core.settings import Settings
from weir.core.ways import offered
from weir.forwarder.inbox import Inbox
from weir.report.log import Log
from weir.store.directory import own
from weir.wiring import assembly, places, quotas
from weir.wiring.component import Component
from weir.wiring.configuration import load
from weir.wiring.machine import Machine
from weir.wiring.reporting import Display

LEAST_FILES = 64  # that may be open at a time: with fewer it could start, and then not work
MOST_FILES = 65_536
_M_MMAP_THRESHOLD = -3  # as glibc numbers it
_LARGE_BYTES = 144 * 1024  # a message is smaller


def run(arguments: argparse.Namespace) -> int:
    """Forward as the settings say; returns the exit code."""
    if arguments.dry_run:
        return _dry_run(load(arguments), arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a log never fails for a letter that its terminal lacks
    _leave_no_core()
    _allow_open_files()
    _give_back_memory()
    signal.signal(signal.SIGTERM, _leave)  # until records can be on their way there is nothing to stop
    display = _display()
    log = Log(
        level="INFO", form="text", out=sys.stdout, err=sys.stderr, make_way=display.close if display else lambda: None
    )
    inbox = Inbox()
    nucleus = assembly.nucleus_of(os.environ, inbox)
    component = Component(nucleus, arguments, inbox, log) if nucleus is not None and arguments.config is None else None
    settings = load(arguments) if component is None else component.first_settings()
    log.set(settings.log.level, settings.log.format)
    directory = places.take(settings, log, patient=not arguments.once)
    try:
        machine = Machine(
            settings=settings,
            directory=directory,
            inbox=inbox,
            take_route=lambda settings: assembly.route(
                settings, inbox, offered(os.environ) if component is None else component.offers, nucleus
            ),
            log=log,
            display=display,
            patient=not arguments.once,
        )
        if component is not None:
            component.attend(machine)
        quotas.say(settings, log)
        return machine.run(once=arguments.once, drain_timeout=arguments.drain_timeout)
    finally:
        directory.close()
        if nucleus is not None:
            nucleus.close()


def _leave_no_core() -> None:
    """Keep what is in memory, such as the private key, out of a file that is written where the process crashes."""
    if os.environ.get("WEIR_DEBUG") != "1":
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _allow_open_files() -> None:
    """Take what the system would allow on request. Raises `ConfigurationRefused` where that is too few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if allowed < LEAST_FILES:
        message = f"this process may have {allowed} (allowed: {LEAST_FILES} or more; see `ulimit -n`, or LimitNOFILE)"
        raise ConfigurationRefused([Problem("open files", message)])
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _give_back_memory() -> None:
    """Have every large block given back as soon as it is free, where the C library is glibc.

    Left alone, it moves the size from which it does so up to the largest block that it has seen: the tables of a
    hundred thousand files grow, and leave behind some megabytes of holes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _display() -> Display | None:
    """Give the live line, where there is a terminal to show it and the library to draw it."""
    if not sys.stderr.isatty():
        return None
    try:
        from weir.report.live import LiveLine
    except ImportError:
        return None
    return LiveLine()


def _dry_run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print what would be sent. All state is in a directory that is thrown away, and no file is ever finished."""
    import shutil
    import tempfile

    state = tempfile.mkdtemp(prefix="weir-dry-run-")
    settings = _harmless(settings, state)
    log = Log(level="WARNING", form=settings.log.format, out=sys.stderr, err=sys.stderr)
    directory = own(Path(state), wait_seconds=0)
    try:
        inbox = Inbox()
        machine = Machine(
            settings=settings,
            directory=directory,
            inbox=inbox,
            take_route=lambda _: assembly.dry_run_route(inbox),
            log=log,
        )
        return machine.run(once=arguments.once, drain_timeout=arguments.drain_timeout)
    finally:
        directory.close()
        shutil.rmtree(state, ignore_errors=True)


def _harmless(settings: Settings, state: str) -> Settings:
    replace = msgspec.structs.replace
    streams = {
        name: replace(stream, source=replace(stream.source, on_done="keep"))
        for name, stream in settings.streams.items()
    }
    pace = replace(settings.pace, publishes_per_second=None, bytes_per_second=None)
    report = replace(settings.report, topic=None, metrics_file=None)
    return replace(
        settings, streams=streams, pace=pace, report=report, state=replace(settings.state, path=state, min_free_bytes=0)
    )
