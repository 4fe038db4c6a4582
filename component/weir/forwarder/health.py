"""What is wrong just now, and what held for long: the things a person should look at.

Owns since when each is so, and that each is said once when it begins and once when it ends. Knows nothing of how it is
said.
"""

from __future__ import annotations

from collections.abc import Mapping

from weir.core.view import Degradation
from weir.forwarder.queue import Notice

HELD_SECONDS = 10.0  # a hold is worth a line once it lasted so long


class Health:
    """The degradations in force and the hold that lasts."""

    def __init__(self, notice: Notice) -> None:
        """Begin healthy."""
        self._notice = notice
        self._degraded: dict[str, Degradation] = {}
        self._held: tuple[str, float] | None = None
        self._told = False

    @property
    def degraded(self) -> list[Degradation]:
        """List what is wrong, the oldest first."""
        return list(self._degraded.values())

    def judge(self, reason: str, wall: float, remedy: str, *, wrong: bool) -> None:
        """Note whether something is wrong; say it when that changes."""
        known = self._degraded.get(reason)
        if wrong and known is None:
            self._degraded[reason] = Degradation(reason, wall, remedy)
            self._notice("degraded", reason=reason, remedy=remedy)
        elif wrong and known is not None and known.remedy != remedy:
            self._degraded[reason] = Degradation(reason, known.since, remedy)
        elif not wrong and known is not None:
            del self._degraded[reason]
            self._notice("recovered", reason=reason, seconds=round(wall - known.since, 1))

    def judge_all(self, wall: float, verdicts: Mapping[str, str | None]) -> None:
        """Note of each reason what to do about it; None where nothing is wrong."""
        for reason, remedy in verdicts.items():
            self.judge(reason, wall, remedy or "", wrong=remedy is not None)

    def hold(self, now: float, held_by: str | None) -> None:
        """Note why nothing is released (monotonic seconds); a hold of one reason is told once it lasted."""
        if self._held is not None and self._held[0] != held_by:
            if self._told:
                self._notice("released", reason=self._held[0], seconds=round(now - self._held[1], 1))
            self._held, self._told = None, False
        if held_by is None:
            return
        if self._held is None:
            self._held = (held_by, now)
        elif not self._told and now - self._held[1] >= HELD_SECONDS:
            self._told = True
            self._notice("held", reason=held_by, seconds=round(now - self._held[1], 1))
