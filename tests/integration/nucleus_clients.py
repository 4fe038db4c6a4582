"""The unmodified client library, connected to a nucleus stand-in, and closed again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from awsiot import eventstreamrpc, greengrasscoreipc
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2 as Client

from tests.nucleus import NucleusStandIn

COMPONENT = "io.weir.Forwarder"
SECONDS = 30.0

Connect = Callable[[NucleusStandIn], Client]


@contextlib.contextmanager
def clients() -> Iterator[Connect]:
    """Gives the function that connects, with what the stand-in's environment says; closes what it made."""
    made: list[Client] = []

    def connect(nucleus: NucleusStandIn) -> Client:
        environment = nucleus.environment()
        path = environment["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"]
        token = environment["SVCUID"]
        made.append(Client(client=greengrasscoreipc.connect(ipc_socket=path, authtoken=token, timeout=SECONDS)))
        return made[-1]

    yield connect
    for client in made:
        client.close()


def by_name(nucleus: NucleusStandIn, name: str) -> eventstreamrpc.Connection:
    """A connection, not yet made, that will show a component's name instead of a token."""
    group = greengrasscoreipc.EventLoopGroup(num_threads=1)
    options = greengrasscoreipc.SocketOptions()
    options.domain = greengrasscoreipc.SocketDomain.Local
    claims = b'{"componentName": "%s"}' % name.encode()
    return eventstreamrpc.Connection(
        host_name=str(nucleus.socket_path),
        port=0,
        bootstrap=greengrasscoreipc.ClientBootstrap(group, greengrasscoreipc.DefaultHostResolver(group)),
        socket_options=options,
        connect_message_amender=lambda: eventstreamrpc.MessageAmendment(payload=claims),
    )


class Events(list[Any]):
    """What a subscription brought, and whether its stream was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()

    @property
    def paths(self) -> list[str]:
        return ["/".join(it.configuration_update_event.key_path) for it in self]

    def of_configuration(self, client: Client, path: list[str] | None = None) -> Events:
        client.subscribe_to_configuration_update_async(
            key_path=path, on_stream_event=self.append, on_stream_closed=self.closed.set
        )[0].result(SECONDS)
        return self
