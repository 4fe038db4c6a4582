"""`weir pause` and `weir resume`: told to the forwarder that runs."""

from __future__ import annotations

import argparse

from weir.cli.state import ask_owner, state_directory
from weir.core.errors import UsageError


def pause(arguments: argparse.Namespace) -> int:
    """Stop releasing; reading and counting go on."""
    return _tell(arguments, "pause", "paused: nothing is released until `weir resume`")


def resume(arguments: argparse.Namespace) -> int:
    """Go on releasing."""
    return _tell(arguments, "resume", "resumed")


def _tell(arguments: argparse.Namespace, command: str, done: str) -> int:
    path = state_directory(arguments.state)
    if ask_owner(path, {"command": command}) is None:
        raise UsageError(f"no forwarder runs with the state directory {path}; name another with --state")
    print(done)
    return 0
