"""How the demonstration speaks to the person who watches: headings with the time, sentences, and indented output."""

from __future__ import annotations

import textwrap
import time

WIDTH = 100
_BEGIN = time.monotonic()


def say(text: str = "") -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def heading(title: str) -> None:
    """Begin a phase; at the end of the line stands the second in which it begins."""
    say(f"\n-- {title} ".ljust(WIDTH - 6, "-") + f" {time.monotonic() - _BEGIN:3.0f} s")


def explain(text: str) -> None:
    """Print a paragraph, wrapped."""
    say(textwrap.fill(" ".join(text.split()), WIDTH))


def quote(text: str, *, command: str = "") -> None:
    """Print what a program or a file said, indented; with the command that made it say so."""
    if command:
        say(f"\n    $ {command}")
    say(textwrap.indent(text.strip("\n"), "    "))
