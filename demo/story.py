"""The story: one phase after the other, each over when what it is about has happened.

Every phase says what happens now and why, and shows the figures that a person would look at then.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import NamedTuple

from demo.account import figures, findings, verdict
from demo.broker import Broker
from demo.certificates import make_certificates
from demo.configuration import QUEUE_RECORDS, configuration
from demo.feeder import Feeder
from demo.forwarder import Forwarder, Status
from demo.link import DELAY_SECONDS, Link
from demo.subscriber import Subscriber
from demo.telling import explain, heading, quote, say
from demo.trouble import Trouble, until
from demo.workplace import Workplace


class Extent(NamedTuple):
    """How many records a phase waits for."""

    delivered_at_first: int
    dropped: int
    delivered_again: int
    fed_meanwhile: int  # while the forwarder is dead


USUAL = Extent(delivered_at_first=1500, dropped=1000, delivered_again=800, fed_meanwhile=400)
QUICK = Extent(delivered_at_first=300, dropped=200, delivered_again=200, fed_meanwhile=100)


class Cast(NamedTuple):
    """Who takes part."""

    feeder: Feeder
    forwarder: Forwarder
    link: Link
    subscriber: Subscriber


def tell(workplace: Workplace, open_things: ExitStack, extent: Extent, wanted_broker: str | None) -> int:
    """Play it from the beginning to the account; give the exit code. What is opened is left to `open_things`."""
    cast = _set_the_scene(workplace, open_things, wanted_broker)
    _all_is_well(cast, extent)
    _the_link_goes_away(cast, extent)
    _the_link_comes_back(cast, extent)
    _the_forwarder_is_killed(cast, extent)
    _everything_drains(cast)
    return _the_account(cast)


def _set_the_scene(workplace: Workplace, open_things: ExitStack, wanted_broker: str | None) -> Cast:
    heading("The scene")
    certificates = make_certificates(workplace.path)
    broker = Broker(workplace, certificates, wanted_broker)
    open_things.callback(broker.close)
    broker.start()
    subscriber = Subscriber(broker.port, certificates)
    open_things.callback(subscriber.close)
    link = Link(broker.port)
    open_things.callback(link.close)
    workplace.configuration.write_text(configuration(link.port, certificates))
    cast = Cast(Feeder(workplace.inbox), Forwarder(workplace), link, subscriber)
    open_things.callback(cast.forwarder.close)
    open_things.callback(cast.feeder.stop)
    _introduce(workplace, broker)
    return cast


def _introduce(workplace: Workplace, broker: Broker) -> None:
    gone = "" if workplace.keep else " (removed at the end; --keep keeps it)"
    say(f"directory   {workplace.path}{gone}")
    say(f"log         {workplace.forwarder_log}")
    say(f"broker      {broker.name}, on loopback with TLS; {_tried(broker)}")
    say("subscriber  paho-mqtt, beside the broker; it shares no code with Weir's client")
    say("feeder      this machine's vitals from /proc into inbox/*.jsonl, about 400 records a second")
    say(f"link        a relay between Weir and the broker, {DELAY_SECONDS * 1000:g} ms each way; it can be cut")
    say("forwarder   `weir run --config weir.yaml`, a process of its own:")
    quote(workplace.configuration.read_text())


def _tried(broker: Broker) -> str:
    if broker.admits_without_certificate():
        return "tried: a client without a certificate is LET IN, this broker does not demand one"
    return "tried: a client without a certificate is turned away"


def _all_is_well(cast: Cast, extent: Extent) -> None:
    heading("1. All is well")
    explain("The feeder writes, Weir reads and publishes. With a link that works nothing is dropped.")
    cast.feeder.start()
    cast.forwarder.start()
    cast.forwarder.until(
        lambda now: _delivered(now) >= extent.delivered_at_first, f"{extent.delivered_at_first} records are delivered"
    )
    _show_status(cast)


def _the_link_goes_away(cast: Cast, extent: Extent) -> None:
    heading("2. The link goes away")
    explain(
        f"""The feeder goes on. In a queue for {QUEUE_RECORDS} records that is half a second's worth; then, in mode 3,
        each new record pushes the oldest one out. Each is counted, with its reason, in the commit that removes it."""
    )
    before = _dropped(cast.forwarder.status())
    cast.link.cut()
    cast.forwarder.until(
        lambda now: now["state"] != "online" and _dropped(now) >= before + extent.dropped,
        f"{extent.dropped} records are dropped",
    )
    _show_status(cast)


def _the_link_comes_back(cast: Cast, extent: Extent) -> None:
    heading("3. The link comes back")
    explain(
        """What is still queued is delivered, and then what is new. Records whose acknowledgement was lost with the link
        are sent again: the broker may get them twice, which is what possibleTwins counts."""
    )
    before = _delivered(cast.forwarder.status())
    cast.link.mend()
    cast.forwarder.until(
        lambda now: now["state"] == "online" and _delivered(now) >= before + extent.delivered_again,
        f"another {extent.delivered_again} records are delivered",
    )
    _show_status(cast)


def _the_forwarder_is_killed(cast: Cast, extent: Extent) -> None:
    heading("4. The forwarder is killed with SIGKILL")
    explain(
        """No last commit, no farewell; the feeder goes on. The counters are those of the last commit, and hold. What
        happened after it is not known: it is read again, and may arrive twice."""
    )
    cast.forwarder.kill()
    fed = len(cast.feeder.fed)
    until(lambda: len(cast.feeder.fed) >= fed + extent.fed_meanwhile, "the feeder goes on")
    _show_status(cast)
    say("\nIt is started again, and begins with the backlog that waits in the files.")
    before = _delivered(cast.forwarder.status())
    cast.forwarder.start()
    cast.forwarder.until(
        lambda now: _delivered(now) >= before + extent.delivered_again,
        f"another {extent.delivered_again} records are delivered",
    )
    _show_status(cast)


def _everything_drains(cast: Cast) -> None:
    heading("5. The feeder stops, the rest drains, the forwarder is stopped with SIGTERM")
    cast.feeder.stop()
    fed = len(cast.feeder.fed)
    drained = cast.forwarder.until(
        lambda now: _delivered(now) + _dropped(now) >= fed and not _left(now), "everything is drained"
    )
    code = cast.forwarder.terminate()
    say(f"Drained at {drained['updated']}; the forwarder ended with exit code {code}.")
    if code:
        raise Trouble(f"a forwarder that is stopped in order ends with code 0, not {code}")


def _the_account(cast: Cast) -> int:
    heading("The account")
    quote(cast.forwarder.ask("status", "--verify"), command="weir status --state state --verify")
    quote(cast.forwarder.ask("losses"), command="weir losses --state state")
    account = list(
        findings(
            figures(
                fed=cast.feeder.fed,
                received=cast.subscriber.hear_out(),
                status=cast.forwarder.status("--verify"),
                losses=json.loads(cast.forwarder.ask("losses", "--json")),
            )
        )
    )
    say()
    for finding in account:
        say(f"  {'ok    ' if finding.holds else 'WRONG '} {finding.text}")
    code = verdict(account)
    say("\nIt balances: every record is accounted for." if code == 0 else "\nIt does not balance: see WRONG above.")
    return code


def _show_status(cast: Cast) -> None:
    quote(cast.forwarder.ask("status"), command="weir status --state state")


def _delivered(status: Status) -> int:
    return int(status["records"]["delivered"])


def _dropped(status: Status) -> int:
    return int(status["records"]["droppedTotal"])


def _left(status: Status) -> int:
    queued = sum(stream["queueRecords"] for stream in status["streams"].values())
    return int(queued + status["records"]["pending"] + status["source"]["bytesUnread"])
