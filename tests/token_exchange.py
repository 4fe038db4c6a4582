"""A token exchange service for the tests: the HTTP endpoint of a nucleus that gives out credentials, with levers.

Owns one way of answering at a time. It is asked through a socket like the real one, and gives credentials only to who
shows its token.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "the-token-of-this-component"  # noqa: S105 - it opens nothing but this
ACCESS_KEY_ID = "ASIAEXAMPLEONLY"
SECRET_ACCESS_KEY = "a+secret/key=of+a+test"  # noqa: S105 - as above
SESSION_TOKEN = "a+session/token=="  # noqa: S105 - as above

_POLL_SECONDS = 0.02  # how soon it notices that it is to end


def answer(*, hours: float = 1.0, **changes: object) -> bytes:
    """Give what the service says, with an Expiration that is so far ahead."""
    expiration = datetime.now(timezone.utc) + timedelta(hours=hours)
    document: dict[str, object] = {
        "AccessKeyId": ACCESS_KEY_ID,
        "SecretAccessKey": SECRET_ACCESS_KEY,
        "Token": SESSION_TOKEN,
        "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return json.dumps({**document, **changes}).encode()


class TokenExchangeService(ThreadingHTTPServer):
    """The service; `body`, `status`, `stalled` and `drips` are its levers, `mend` puts them back."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked = 0
        self.location: str | None = None
        self.closing = threading.Event()
        self.mend()

    @property
    def uri(self) -> str:
        return f"http://localhost:{self.server_address[1]}/2016-11-01/credentialprovider/"

    def mend(self) -> None:
        """Answer as it should."""
        self.status = 200
        self.body: Callable[[], bytes] = answer
        self.stalled = False  # it takes requests, and says nothing
        self.drips = False  # it says something, for ever
        self.location = None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up: they do so on purpose."""


class _Answer(BaseHTTPRequestHandler):
    server: TokenExchangeService

    def do_GET(self) -> None:
        service = self.server
        service.asked += 1
        if service.stalled:
            service.closing.wait()
            return
        welcome = self.headers["Authorization"] == TOKEN and self.path == "/2016-11-01/credentialprovider/"
        body = service.body()
        self.send_response(service.status if welcome else 403)
        if service.location:
            self.send_header("Location", service.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if service.drips:
            while not service.closing.wait(0.05):
                self.wfile.write(b" ")
                self.wfile.flush()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


@contextlib.contextmanager
def token_exchange_service() -> Iterator[TokenExchangeService]:
    """Give a service that runs."""
    with TokenExchangeService() as service:
        threading.Thread(target=service.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()
        yield service
        service.closing.set()
        service.shutdown()
