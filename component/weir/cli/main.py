"""`weir`: the command line, and how the program ends.

Owns the flags of every command and the exit codes. It must not know what a command does; each is imported only when it
is the one that was asked for.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import traceback
from collections.abc import Sequence

from weir import __version__
from weir.core.errors import WeirError
from weir.core.modes import MODE_NAMES
from weir.core.quoting import escaped

UNEXPECTED = 1
INTERRUPTED = 130  # 128 and the number of SIGINT, as a shell says it
LONGEST_LINE = 500

MODE_MEANINGS = (
    "enters at the back; when full, the newest waiting record is replaced",
    "enters at the front; when full, the oldest falls off: freshest first",
    "enters at the front; when full, the freshest waiting record is replaced",
    "enters at the back; when full, the oldest falls off: a rolling queue in order",
    "enters at the back; when full, a directory waits and a pipe pushes back: nothing is lost",
    "enters at the front; when full, as 4",
)
RUN_EPILOG = "\n".join(
    [
        "queue modes, by number or by name (the front is where the gate takes from):",
        *(
            f"  {number}  {name:<19} {meaning}"
            for number, (name, meaning) in enumerate(zip(MODE_NAMES, MODE_MEANINGS, strict=True))
        ),
        "The operation queue program that these come from numbered 1 and 3 the other way round.",
    ]
)
SET_HELP = (
    "set one key of the configuration, on top of everything else; may be repeated. KEY is a path like "
    "gate.maxInFlight or streams.NAME.queue.mode (a stream with a dot in its name cannot be reached so)"
)
ID_HELP = "the number that `list` shows first"
LONGEST_ID = 18  # digits
LIST_EPILOG = (
    "An ID is never given to another entry. What was kept whole can be replayed: not what is too large, what there\n"
    "was no room for (state.quarantineMaxBytes), nor a damaged row of the backlog."
)
REPLAY_EPILOG = (
    "Where the queue is full, modes 4 and 5 leave the rest in quarantine, the others make room as for a new record.\n"
    "While nobody runs the limits of the queue are not known: all go in, and the next run sends them."
)
STATE_HELP = "the state directory (default: WEIR_STATE, else ./weir-state, else that of the component)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    _stand_in_for_closed_streams()
    try:
        arguments = _parser().parse_args(_hyphened(sys.argv[1:] if argv is None else argv))
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, where it is noticed when nobody reads it any more
    except SystemExit as leaving:  # argparse has said what it had to say
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except WeirError as error:
        print(str(error) or error.__doc__, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has enough of it. Python flushes once more at its end, and that must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNEXPECTED
    except Exception as error:  # noqa: BLE001 - the last one to know: a person sees a line, not a traceback
        return _unexpected(error)
    return code


def _stand_in_for_closed_streams() -> None:
    """Open what the caller closed of the standard streams: else the next file that is opened gets their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False, encoding="utf-8"))


def _unexpected(error: Exception) -> int:
    if os.environ.get("WEIR_DEBUG") == "1":
        traceback.print_exception(error)
    else:
        what = escaped(f"{type(error).__name__}: {error}", LONGEST_LINE)
        print(f"weir: {what} (WEIR_DEBUG=1 shows where)", file=sys.stderr)
    return UNEXPECTED


def _dispatch(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "run":
            from weir.cli.run import run

            return run(arguments)
        case "check":
            from weir.cli.check import check

            return check(arguments)
        case "status":
            from weir.cli.status import status

            return status(arguments)
        case "losses":
            from weir.cli.status import losses

            return losses(arguments)
        case "quarantine":
            from weir.cli.quarantine import quarantine

            return quarantine(arguments)
        case "pause":
            from weir.cli.control import pause

            return pause(arguments)
        case _:
            from weir.cli.control import resume

            return resume(arguments)


def _hyphened(argv: Sequence[str]) -> list[str]:
    """Give the arguments with `-` for `_` in every flag, but not in its value."""
    flags = argv[: argv.index("--")] if "--" in argv else argv
    return [*map(_hyphened_flag, flags), *argv[len(flags) :]]


def _hyphened_flag(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="weir",
        allow_abbrev=False,
        description="Forwards telemetry from a directory or a pipe to an MQTT broker, as fast as the connection can "
        "take it, and accounts for every record.",
    )
    parser.add_argument("--version", action="version", version=f"weir {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_run(commands)
    check = _add(commands, "check", "check a configuration, and show what it comes to")
    _add_configuration(check)
    status = _add(commands, "status", "show the counters, the queue and the connection")
    _add_state(status)
    status.add_argument("--json", action="store_true", help="as JSON")
    status.add_argument("--verify", action="store_true", help="check in full that every record is accounted for")
    losses = _add(commands, "losses", "show what was dropped, when, how much and why")
    _add_state(losses)
    losses.add_argument("--json", action="store_true", help="as JSON")
    _add_quarantine(commands)
    _add_state(_add(commands, "pause", "stop releasing messages; reading and counting go on"))
    _add_state(_add(commands, "resume", "go on releasing messages"))
    return parser


Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for what it returns


def _add(
    commands: Commands[argparse.ArgumentParser], name: str, text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_run(commands: Commands[argparse.ArgumentParser]) -> None:
    run = _add(commands, "run", "forward until SIGTERM or SIGINT", RUN_EPILOG)
    _add_configuration(run)
    run.add_argument("--once", action="store_true", help="forward what is there now, then exit")
    run.add_argument(
        "--drain-timeout",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="with --once: give up after so many seconds without any progress (default: 60)",
    )
    run.add_argument(
        "--dry-run", action="store_true", help="print topic and payload instead of connecting; change no state"
    )


def _add_quarantine(commands: Commands[argparse.ArgumentParser]) -> None:
    quarantine = _add(
        commands, "quarantine", "look at the records that were set aside, send them after all, or purge them"
    )
    actions = quarantine.add_subparsers(dest="do", metavar="ACTION", required=True)
    listing = _add(actions, "list", "list them: when, why, from where, and whether they can be replayed", LIST_EPILOG)
    show = _add(actions, "show", "show one with what was kept of it: text escaped, anything else in hexadecimal")
    show.add_argument("ids", nargs=1, type=_entry, metavar="ID", help=ID_HELP)
    replay = _add(
        actions, "replay", "put them into the queue again, as they are; each counts as read anew", REPLAY_EPILOG
    )
    replay.add_argument("ids", nargs="*", type=_entry, metavar="ID", help=f"{ID_HELP}; none: all that can be replayed")
    purge = _add(actions, "purge", "remove them for good, without asking; the counters stay")
    purge.add_argument("ids", nargs="*", type=_entry, metavar="ID", help=f"{ID_HELP}; none: all of them")
    for action in (listing, show, replay, purge):
        _add_state(action)
    for action in (listing, show):
        action.add_argument("--json", action="store_true", help="as JSON; of show with the bytes in base64")


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="a YAML or JSON file, or a whole Greengrass recipe")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=SET_HELP)
    parser.add_argument("--state", metavar="DIR", help="the state directory (default: the one configured, if any)")
    flags = parser.add_argument_group("without a file")
    source = flags.add_mutually_exclusive_group()
    source.add_argument("--watch", metavar="DIR", help="read the files of this directory")
    source.add_argument("--stdin", action="store_true", help="read standard input")
    flags.add_argument("--endpoint", metavar="HOST", help="the broker")
    flags.add_argument("--port", help="its port (default: 8883)")
    flags.add_argument("--cert", metavar="FILE", help="the certificate of the client")
    flags.add_argument("--key", metavar="FILE", help="the key of that certificate")
    flags.add_argument("--ca-file", metavar="FILE", help="who vouches for the broker")
    flags.add_argument("--client-id", metavar="ID", help="the MQTT client id")
    flags.add_argument("--topic", help="where to publish; may hold {thingName} and {stream}")
    flags.add_argument("--qos", help="0 or 1 (default: 1)")
    flags.add_argument("--queue-mode", metavar="MODE", help="a queue mode, 0 to 5 or its name (default: 4)")
    flags.add_argument("--queue-limit", metavar="N", help="how many records may wait, or none (default: 10000)")
    flags.add_argument("--protocol", help="the version of MQTT (default: mqtt311)")


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", metavar="DIR", help=STATE_HELP)


def _entry(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > LONGEST_ID:
        raise argparse.ArgumentTypeError(f"{escaped(text)} is not an ID (allowed: a number that `list` shows)")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not math.isfinite(seconds) or seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds
