"""The stand-in itself: one nucleus with one component of the test's, and the levers that the test pulls.

Every method may be called from any thread. Nothing here waits unless its name or its docstring says so.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.nucleus.cloud import Published
from tests.nucleus.configuration import Configuration, TooLong, as_yaml_strings
from tests.nucleus.operations import Operations
from tests.nucleus.server import Identity, Server
from tests.nucleus.tables import Behaviour

FOREVER_SECONDS = float(threading.TIMEOUT_MAX)

_TOKEN_BYTES = 8  # 16 characters, as lite's


@dataclass(frozen=True)
class Deployment:
    """How a deployment ended: SUCCEEDED or FAILED, and why; nothing of a failed one is applied."""

    id: str
    status: str
    reason: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCEEDED"


class NucleusStandIn:
    """A nucleus that an unmodified IPC client connects to. Use it as a context manager, or call start() and stop().

    Args:
        kind: LITE or CLASSIC.
        component: the component's name; it gets in with the token, on lite with this name alone.
        configuration: its DefaultConfiguration, accessControl and all; None when the recipe has none.
        others: configurations of further components, to be read.
        nucleus: keys to add to the nucleus' own configuration (awsRegion, iotDataEndpoint … are there).
        yaml_recipe: the defaults come from a YAML recipe; lite then keeps every scalar as a string.
        directory: for the socket; its path must be short (about 100 bytes in all). Default: a temporary one.
    """

    def __init__(
        self,
        kind: Behaviour,
        *,
        component: str,
        configuration: dict[str, Any] | None,
        others: dict[str, dict[str, Any]] | None = None,
        nucleus: dict[str, Any] | None = None,
        thing_name: str = "thing-1",
        region: str = "eu-west-1",
        yaml_recipe: bool = False,
        directory: Path | None = None,
    ) -> None:
        self.kind = kind
        self.component = component
        self.thing_name = thing_name
        self.region = region
        self.token = secrets.token_hex(_TOKEN_BYTES)
        self._own_directory = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="ggc-"))
        self._lock = threading.Condition(threading.RLock())
        if yaml_recipe and kind.yaml_scalars_are_strings and configuration is not None:
            configuration = as_yaml_strings(configuration)
        self._configurations = {name: Configuration(kind, values) for name, values in (others or {}).items()}
        self._configurations[component] = Configuration(kind, configuration)
        own = Configuration(kind, {**_nucleus_defaults(region), **(nucleus or {})})
        self._configurations.update(dict.fromkeys(kind.nucleus_components, own))
        self._operations = Operations(
            kind,
            self._configurations,
            thing_name=thing_name,
            lock=self._lock,
            post=lambda *event: self._server.post(*event),  # noqa: PLW0108 - the server comes after, and knows this
            called=self._on_call,
        )
        self._stalls_at: int | None = None
        self._server = Server(
            self.socket_path,
            kind,
            identify=self._identify,
            handle=self._operations.handle,
            forget=self._operations.forget,
        )

    def __enter__(self) -> NucleusStandIn:  # noqa: PYI034 - typing has Self only from Python 3.11 on
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def behaviour(self) -> Behaviour:
        """The table, under its type's name."""
        return self.kind

    # what the component is given

    @property
    def socket_path(self) -> Path:
        return self._directory / self.kind.socket_name

    def environment(self) -> dict[str, str]:
        """The variables that the nucleus sets for the component; SVCUID is the token that is valid now."""
        token = self.token
        return {
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self.socket_path),
            "SVCUID": token,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
            "AWS_IOT_THING_NAME": self.thing_name,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "GGC_VERSION": self.kind.version,
            "GG_ROOT_CA_PATH": str(self._directory / "rootCA.pem"),
        }

    # the IPC daemon

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """The IPC daemon ends: connections close and the socket is gone. start() brings it back."""
        self._server.stop()

    def close(self) -> None:
        """stop(), and remove the directory when it is the stand-in's own."""
        self.stop()
        if self._own_directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def restart(self) -> None:
        """The IPC daemon restarts. Where tokens do not survive that, the old one is refused for ever.

        What the nucleus holds otherwise (configuration, spooler, the cloud link) stays.
        """
        self.stop()
        if not self.kind.token_survives_restart:
            self.token = secrets.token_hex(_TOKEN_BYTES)
        self.start()

    def drop_connections(self) -> None:
        """Every connection closes, the daemon goes on: the same token is good for the next."""
        self._server.drop_connections()

    @property
    def connections(self) -> int:
        """How many clients are connected and let in."""
        return self._server.connections

    def stall(self, seconds: float = FOREVER_SECONDS) -> None:
        """The daemon's one thread hangs: no call is answered, nobody gets in, no event is sent; release() ends it."""
        self._server.stall(seconds)

    def stall_after(self, calls: int) -> None:
        """Hang as by stall() once so many calls more were answered."""
        with self._lock:
            self._stalls_at = len(self._operations.calls) + calls

    def release(self) -> None:
        self._server.release()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Hangs for as long as the block runs."""
        self.stall()
        try:
            yield
        finally:
            self.release()

    # deployments

    def deploy(
        self,
        *,
        merge: dict[str, Any] | None = None,
        reset: list[str] | None = None,
        validation_seconds: float = 30.0,
    ) -> Deployment:
        """Deploy a configurationUpdate to the component: reset (JSON pointers), then merge. The component runs on.

        Classic first asks the component, when it subscribed for that, and waits up to `validation_seconds` for its
        report. Events are on their way when this returns, they need not have arrived.
        """
        identity = f"deployment-{secrets.token_hex(4)}"
        with self._lock:
            proposed = self._configurations[self.component].copy()
            try:
                proposed.apply(reset or [], merge or {})
            except TooLong as error:
                return Deployment(identity, "FAILED", str(error))
            refusal = self._refusal(identity, proposed, validation_seconds)
            if refusal:
                return Deployment(identity, "FAILED", refusal)
            touched = self._configurations[self.component].apply(reset or [], merge or {})
            self._operations.announce(self.component, touched)
        return Deployment(identity, "SUCCEEDED")

    def configuration(self, component: str = "") -> dict[str, Any]:
        """The configuration as it is now, the whole map."""
        with self._lock:
            return self._configurations[component or self.component].whole()

    # the cloud

    def go_offline(self) -> None:
        """The broker is gone; lite forgets what was not acknowledged."""
        with self._lock:
            self._operations.cloud.go_offline()

    def go_online(self) -> None:
        with self._lock:
            self._operations.cloud.go_online()

    def hold_acks(self) -> None:
        """The broker takes QoS 1 and acknowledges nothing: lite's few places fill up, classic's spooler does."""
        with self._lock:
            self._operations.cloud.hold_acks()

    def release_acks(self, count: int | None = None) -> None:
        """Acknowledge the oldest `count` and hold on; without a count: all, and hold no longer."""
        with self._lock:
            self._operations.cloud.release_acks(count)

    def send(self, topic: str, payload: bytes) -> int:
        """A message comes from the cloud; returns to how many subscriptions it goes."""
        with self._lock:
            return self._operations.deliver(topic, payload)

    @property
    def published(self) -> list[Published]:
        """All that was answered with OK, in order. Each is in one of the three below as well."""
        with self._lock:
            return list(self._operations.cloud.published)

    @property
    def delivered(self) -> list[Published]:
        """What the broker has, acknowledged if it was QoS 1."""
        with self._lock:
            return list(self._operations.cloud.delivered)

    @property
    def waiting(self) -> list[Published]:
        """What was taken and is not acknowledged: lite's unacknowledged publishes, classic's spooler."""
        with self._lock:
            return list(self._operations.cloud.waiting)

    @property
    def lost(self) -> list[Published]:
        """What was answered with OK and will never arrive."""
        with self._lock:
            return list(self._operations.cloud.lost)

    # what the component did

    @property
    def states(self) -> list[str]:
        """The states that the component reported by UpdateState, in order."""
        with self._lock:
            return list(self._operations.states)

    @property
    def calls(self) -> list[str]:
        """The operations that were called, refused ones too, in order."""
        with self._lock:
            return list(self._operations.calls)

    def _on_call(self, count: int) -> None:
        if count == self._stalls_at:
            self._server.stall(FOREVER_SECONDS)

    def _identify(self, claims: dict[str, Any]) -> Identity | None:
        token, name = claims.get("authToken"), claims.get("componentName")
        if token is not None:
            right = token == self.token and name in {None, self.component}
            return Identity(self.component) if right else None
        right = self.kind.connect_by_name and name == self.component
        return Identity(self.component, issued_token=self.token) if right else None

    def _refusal(self, identity: str, proposed: Configuration, seconds: float) -> str:
        """Why the component does not want this configuration; "" when it does or was not to be asked."""
        if not self.kind.validates_deployments:
            return ""
        if not self._operations.ask_for_validation(self.component, identity, proposed.whole()):
            return ""
        reports = self._operations.reports
        deadline = time.monotonic() + seconds
        while reports[identity] is None and (left := deadline - time.monotonic()) > 0:
            self._lock.wait(left)
        report = reports.pop(identity)
        if report is None:
            return f"no validity report within {seconds:g} s"
        return "" if report.get("status") == "ACCEPTED" else f"rejected: {report.get('message', '')}"


def _nucleus_defaults(region: str) -> dict[str, Any]:
    return {
        "awsRegion": region,
        "iotDataEndpoint": f"example-ats.iot.{region}.amazonaws.com",
        "iotCredEndpoint": f"example.credentials.iot.{region}.amazonaws.com",
        "iotRoleAlias": "GreengrassCoreTokenExchangeRoleAlias",
        "greengrassDataPlanePort": 8443,
        "mqtt": {"port": 8883},
        "networkProxy": {},
    }
