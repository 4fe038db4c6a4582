"""`python -m demo`: what may be asked for, and how it ends: 0 it balances, 1 it does not, 130 when interrupted."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

from demo.broker import BROKERS
from demo.story import QUICK, USUAL, tell
from demo.telling import say
from demo.trouble import Trouble
from demo.workplace import Workplace

FAILED = 1
INTERRUPTED = 130  # 128 and the number of SIGINT, as a shell says it
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    arguments = _parser().parse_args()
    _on_signals(_interrupt)
    workplace = Workplace(keep=arguments.keep)
    with ExitStack() as open_things:
        open_things.callback(workplace.close)
        try:
            code = tell(workplace, open_things, QUICK if arguments.quick else USUAL, arguments.broker)
            workplace.keep |= code != 0
        except KeyboardInterrupt:
            say("\nInterrupted: what was started is being ended.")
            code = INTERRUPTED
        except Trouble as trouble:
            say(f"\nThe demonstration failed: {trouble}.")
            workplace.show_logs()
            workplace.keep = True
            code = FAILED
        except BrokenPipeError:  # nobody watches any more; Python flushes once more at its end, and that must not fail
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = FAILED
        finally:
            _on_signals(signal.SIG_IGN)  # a second Ctrl-C must not leave anything behind
    return code


def _on_signals(action: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # whoever started us in the background may have said so
            signal.signal(number, action)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Show the main job, faults included.")
    parser.add_argument("--quick", action="store_true", help="the same phases, shorter")
    parser.add_argument("--keep", action="store_true", help="keep the directory with configuration, logs and state")
    parser.add_argument("--broker", choices=BROKERS, help="which broker (default: mosquitto where it is installed)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
