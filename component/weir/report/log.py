"""The log: one event, one line, `event=… key=value …` or one JSON object.

Owns the form, the level of each event and where a line goes: up to INFO on stdout, from WARNING on stderr, since a
nucleus takes stderr for warnings. Knows nothing of when an event happens. No payload and no secret is ever given to it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any, TextIO

from weir.core.quoting import escaped
from weir.report.times import rfc3339

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
LEVELS = {"DEBUG": DEBUG, "INFO": INFO, "WARNING": WARNING, "ERROR": ERROR}
_NAMES = {number: name for name, number in LEVELS.items()}
_PRIORITY = {DEBUG: 7, INFO: 6, WARNING: 4, ERROR: 3}  # sd-daemon(3): what journald takes from the start of a line

_EVENT_LEVELS = {
    "connect_failed": WARNING,
    "interrupted": WARNING,
    "publish_failed": WARNING,
    "dropped": WARNING,
    "quarantined": WARNING,
    "held": WARNING,
    "source_skipped": WARNING,
    "source_missing": WARNING,
    "state_recovered": WARNING,
    "quotas_exceed_disk": WARNING,
    "config_refused": ERROR,
    "degraded": ERROR,
}

LONGEST_VALUE = 500  # characters of one value: a line stays a line
GATHER_SECONDS = 10.0  # drops and quarantines of one reason are one line in so many seconds
_GATHERED = frozenset({"dropped", "quarantined", "publish_failed"})
_WHOLE = frozenset({"stats"})  # the line has every field every time: none where there is nothing to say

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:/+-{}#$%@~,()[]*")


class Log:
    """Writes events. Call it with the event's name and its fields."""

    def __init__(
        self,
        *,
        level: str,
        form: str,
        out: TextIO,
        err: TextIO,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        make_way: Callable[[], None] = lambda: None,
    ) -> None:
        """Write to these streams; under journald each line begins with its priority, and has no time of its own.

        `make_way` is called before a line is written: what is drawn on the terminal must not run into it.
        """
        self._make_way = make_way
        self.set(level, form)
        self._streams = (out, err)
        self._journald = tuple(_is_journald(stream) for stream in self._streams)
        self._wall = wall
        self._monotonic = monotonic
        self._gathering: dict[tuple[str, str, str], tuple[float, dict[str, Any]]] = {}

    def set(self, level: str, form: str) -> None:
        """Write what has this level or a higher one from now on, as `text` or `json`."""
        self._level = LEVELS[level]
        self._json = form == "json"

    def __call__(self, event: str, /, **fields: object) -> None:
        """Write one event, or gather it with others of its kind."""
        if event not in _GATHERED:
            self._write(event, fields)
            return
        now = self._monotonic()
        key = (event, str(fields.get("stream")), str(fields.get("reason")))
        records = int(str(fields.setdefault("records", 1)))
        if key not in self._gathering:
            self._gathering[key] = (now, {})
            self._write(event, fields)
            return
        since, gathered = self._gathering[key]
        count = gathered.get("records", 0) + records
        self._gathering[key] = (since, {**fields, "records": count})
        self.flush(now)

    def flush(self, now: float | None = None) -> None:
        """Write what was gathered and is due; all of it if no time is given."""
        for key, (since, gathered) in list(self._gathering.items()):
            if now is not None and now - since < GATHER_SECONDS:
                continue
            del self._gathering[key]
            if gathered:
                self._write(key[0], gathered)
                if now is not None:
                    self._gathering[key] = (now, {})

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        level = _EVENT_LEVELS.get(event, INFO)
        if level < self._level:
            return
        which = int(level >= WARNING)
        line = self._line(event, level, fields, bare=self._journald[which])
        prefix = f"<{_PRIORITY[level]}>" if self._journald[which] else ""
        self._make_way()
        try:
            self._streams[which].write(f"{prefix}{line}\n")
            self._streams[which].flush()
        except (OSError, ValueError):  # nobody reads the log any more: that is no reason to stop forwarding
            return

    def _line(self, event: str, level: int, fields: dict[str, Any], *, bare: bool) -> str:
        told = {name: value for name, value in fields.items() if value is not None or event in _WHOLE}
        if self._json:
            head = {"time": rfc3339(self._wall()), "level": _NAMES[level], "event": event}
            return json.dumps({**head, **told}, default=_text)
        words = [f"event={event}", *(f"{name}={_word(value)}" for name, value in told.items())]
        return " ".join(words if bare else [str(rfc3339(self._wall())), _NAMES[level], *words])


def _word(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:.1f}"  # noqa: PLR2004 - no exponents in a log
    text = _text(value)
    if text and _BARE.issuperset(text):
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped(quoted, LONGEST_VALUE)}"'


def _text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _is_journald(stream: TextIO) -> bool:
    """Tell whether a stream is the one that systemd named in JOURNAL_STREAM (systemd.exec(5)): device:inode."""
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"
