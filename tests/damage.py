"""What can happen to a file of the state while nobody uses it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from weir.store.schema import PAGE_BYTES as PAGE

Damage = Callable[[bytearray, random.Random], None]


def flip_a_bit(content: bytearray, dice: random.Random) -> None:
    """Let one bit be another one."""
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def cut_short(content: bytearray, dice: random.Random) -> None:
    """Let it end early."""
    del content[dice.randrange(len(content)) :]


def zero_a_page(content: bytearray, dice: random.Random) -> None:
    """Let a page of it hold zeros."""
    at = dice.randrange(max(1, len(content) // PAGE)) * PAGE
    size = len(content[at : at + PAGE])
    content[at : at + size] = bytes(size)


DAMAGES: tuple[Damage, ...] = (flip_a_bit, cut_short, zero_a_page)


def damage_one(files: list[Path], damage: Damage, dice: random.Random) -> str:
    """Damage one of these files, of those that hold anything; say which and how."""
    path = dice.choice([path for path in files if path.stat().st_size])
    content = bytearray(path.read_bytes())
    damage(content, dice)
    path.write_bytes(content)
    return f"{damage.__name__} in {path.name}"
