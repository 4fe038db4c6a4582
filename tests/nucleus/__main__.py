"""`python -m tests.nucleus --kind lite --config FILE`: a nucleus to try a component against by hand.

Prints the component's environment as lines for a shell, then one line for each message that it publishes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import time
from pathlib import Path

from tests.nucleus import KINDS, NucleusStandIn

_LOOK_AGAIN_SECONDS = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.nucleus", description=__doc__)
    parser.add_argument("--kind", choices=sorted(KINDS), default="lite")
    parser.add_argument("--component", default="io.example.Component")
    parser.add_argument("--config", type=Path, help="DefaultConfiguration as JSON; without it the recipe has none")
    chosen = parser.parse_args()
    configuration = json.loads(chosen.config.read_text()) if chosen.config else None
    with NucleusStandIn(KINDS[chosen.kind], component=chosen.component, configuration=configuration) as nucleus:
        for name, value in nucleus.environment().items():
            print(f"export {name}={shlex.quote(value)}", flush=True)  # noqa: T201 - it speaks to a person
        shown = 0
        while True:
            for message in nucleus.published[shown:]:
                shown += 1
                print(f"{message.topic} qos={message.qos} bytes={len(message.payload)}", flush=True)  # noqa: T201 - as above
            time.sleep(_LOOK_AGAIN_SECONDS)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
