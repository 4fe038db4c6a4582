"""What differs between two configurations, and whether records on their way notice.

Owns which settings can change in a loop that runs: the gate, the pace, the queues, the report and the log. Everything
else is read once, when the parts are put together. Knows nothing of how either is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from weir.core.configuration import effective
from weir.core.settings import Settings

replace = msgspec.structs.replace


def applies_live(old: Settings, new: Settings) -> bool:
    """Tell whether a loop that runs with the old settings can go on with the new ones."""
    if old.streams.keys() != new.streams.keys():
        return False
    streams = {name: replace(stream, queue=new.streams[name].queue) for name, stream in old.streams.items()}
    return replace(old, streams=streams, gate=new.gate, pace=new.pace, report=new.report, log=new.log) == new


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """List the keys that differ, as paths into the document."""
    return sorted(_differing("", effective(old), effective(new)))


def pipes_that_go_on(old: Settings, new: Settings) -> frozenset[str]:
    """Name the streams that read standard input by both: what was read ahead of it is in no other place."""
    return _pipes(old) & _pipes(new)


def _pipes(settings: Settings) -> frozenset[str]:
    streams = settings.streams.items()
    return frozenset(name for name, stream in streams if stream.enabled and stream.source.type == "stdin")


def with_state_path(settings: Settings, path: str) -> Settings:
    """Give the same settings with another state directory."""
    return replace(settings, state=replace(settings.state, path=path))


def _differing(path: str, old: Any, new: Any) -> Iterator[str]:  # noqa: ANN401 - a document is of any shape
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old.keys() | new.keys():
            below = f"{path}.{name}" if path else str(name)
            if name in old and name in new:
                yield from _differing(below, old[name], new[name])
            else:
                yield below
    elif old != new:
        yield path
