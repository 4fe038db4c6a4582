"""Weir as a component of a nucleus stand-in: the real process, in a work path of its own."""

from __future__ import annotations

from pathlib import Path

from tests.device import Device, environment
from tests.nucleus import NucleusStandIn


class ComponentDevice(Device):
    """One component: all it knows comes from the nucleus, and its work path holds inbox and state."""

    def __init__(self, work_path: Path, nucleus: NucleusStandIn, command: tuple[str, ...] = ()) -> None:
        super().__init__(work_path)
        self.nucleus = nucleus
        self._flags = command

    def arguments(self, *more: str, **_keys: object) -> list[str]:
        return [*self._flags, *more]

    def environment(self) -> dict[str, str]:
        return environment() | self.nucleus.environment()

    def write(self, name: str, records: list[bytes]) -> None:
        """Put a finished file into the inbox, all at once."""
        hidden = self.inbox / f".{name}"
        hidden.write_bytes(b"".join(record + b"\n" for record in records))
        hidden.rename(self.inbox / name)
