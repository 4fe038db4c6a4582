"""What a queue may be told, checked: the mode and the limits.

Owns the checks and their words. What a mode means and what the gate does with its limits is in core.
"""

from __future__ import annotations

from typing import Literal

from weir.core.gate import GateLimits
from weir.core.modes import MODE_NAMES, MODES, Mode

Insert = Literal["back", "front"]
Overflow = Literal["drop-back", "drop-front", "return-error"]

DEFAULT_MODE = 4
_ALLOWED_MODES = f"0 to {len(MODES) - 1}, or {', '.join(MODE_NAMES)}"


def mode_of(mode: int | str | None, insert: Insert | None, overflow: Overflow | None) -> Mode:
    """Find the mode that was asked for, by number or name, or by its two halves; mode 4 where nothing was said."""
    if mode is not None and (insert is not None or overflow is not None):
        raise ValueError("mode says where one enters and what a full queue does; leave out either it or the two halves")
    if mode is None and insert is None and overflow is None:
        return MODES[DEFAULT_MODE]
    name = f"{insert or 'back'}/{overflow or 'return-error'}" if mode is None else mode
    if name in MODE_NAMES:
        return MODES[MODE_NAMES.index(str(name))]
    if isinstance(name, int) and 0 <= name < len(MODES):
        return MODES[name]
    raise ValueError(f"there is no queue mode {name!r} (allowed: {_ALLOWED_MODES})")


def limits_of(
    incomplete: int | None, in_flight: int | None, incomplete_bytes: int | None, in_flight_bytes: int | None
) -> GateLimits:
    """Check the limits of the gate."""
    for suffix, upper, lower in (("", incomplete, in_flight), ("_bytes", incomplete_bytes, in_flight_bytes)):
        at_least_one(f"max_incomplete{suffix}", upper)
        at_least_one(f"max_in_flight{suffix}", lower)
        if upper is not None and lower is not None and upper < lower:
            raise ValueError(
                f"max_incomplete{suffix} is {upper}, below max_in_flight{suffix}, which could never be reached: what "
                f"is in flight is incomplete too (allowed: {lower} or more, or None)"
            )
    return GateLimits(incomplete, in_flight, incomplete_bytes, in_flight_bytes)


def at_least_one(name: str, value: int | None) -> None:
    """Refuse a limit that nothing could pass."""
    if value is not None and value < 1:
        raise ValueError(f"{name} is {value} (allowed: 1 or more, or None for no limit)")
