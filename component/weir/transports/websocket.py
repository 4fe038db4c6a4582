"""MQTT in a WebSocket, whose opening request carries a signature (SigV4) of the device's role.

Owns the signature and the thread in which the credentials for it are fetched. They come from the one place handed in:
nothing is looked for in the environment, in a home directory or on the network, where somebody else's may lie.

The client library asks for each opening request, also when it reconnects by itself, on the thread that serves the
connection. That thread must not wait, so each request gets a short-lived one of its own, which always answers: an
unanswered request would hang its connection object for ever.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from awscrt import auth, mqtt

from weir.core.settings import ConnectionSettings
from weir.transports.approach import HTTPS_PORT, HandshakeFailed, Opening
from weir.transports.credentials import without_certificate
from weir.transports.reasons import reason
from weir.transports.token_exchange import Credentials, TokenExchange, TokenExchangeFailed

DEFAULT_PORT = HTTPS_PORT
_SERVICE = "iotdevicegateway"
_HTTP = "http/1.1"  # WebSockets are opened by this version; a server may prefer a later one


class SignedWebSocket:
    """Fulfils `weir.transports.approach.Approach` with credentials of a token exchange service."""

    def __init__(self, settings: ConnectionSettings, endpoint: str, region: str, exchange: TokenExchange) -> None:
        """Sign for `endpoint`, a host name, in `region`; nothing is fetched before a connection is made."""
        self._settings = settings
        self._endpoint = endpoint
        self._region = region
        self._exchange = exchange
        self._port = settings.port or DEFAULT_PORT

    def opening(self, failed: HandshakeFailed) -> Opening:
        """Read the CA and give what the next connection object is opened with."""
        self._exchange.forget()  # a new object often follows a refusal: perhaps of the credentials that were kept
        tls = without_certificate(self._settings, _HTTP if self._port == HTTPS_PORT else None)
        return Opening(self._endpoint, self._port, tls, _Handshake(self._exchange, self._region, failed))


class _Handshake:
    """Signs the opening requests of one connection object."""

    def __init__(self, exchange: TokenExchange, region: str, failed: HandshakeFailed) -> None:
        self._exchange = exchange
        self._region = region
        self._failed = failed

    def __call__(self, transform_args: mqtt.WebsocketHandshakeTransformArgs, **_: object) -> None:
        """Begin to sign a request; called on the thread that serves the connection."""
        signing = threading.Thread(target=self._sign, args=(transform_args,), name="weir-handshake", daemon=True)
        try:
            signing.start()
        except RuntimeError as error:
            self._give_up(transform_args, error, "no thread can be started for the handshake")

    def _sign(self, request: mqtt.WebsocketHandshakeTransformArgs) -> None:
        try:
            signed = auth.aws_sign_request(request.http_request, self._how(self._exchange.credentials()))
        except TokenExchangeFailed as error:
            self._give_up(request, error, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the request must be answered
            self._give_up(request, error, f"the handshake cannot be signed: {reason(error)}")
        else:
            signed.add_done_callback(lambda outcome: self._finish(request, outcome))

    def _how(self, credentials: Credentials) -> auth.AwsSigningConfig:
        return auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
            credentials_provider=auth.AwsCredentialsProvider.new_static(
                credentials.access_key_id, credentials.secret_access_key, credentials.session_token
            ),
            region=self._region,
            service=_SERVICE,
            omit_session_token=True,  # IoT Core wants the session token beside what is signed, not in it
        )

    def _finish(self, request: mqtt.WebsocketHandshakeTransformArgs, outcome: Future[Any]) -> None:
        error = outcome.exception()
        if error is None:
            request.set_done()
        else:
            self._give_up(request, error, f"the handshake cannot be signed: {reason(error)}")

    def _give_up(self, request: mqtt.WebsocketHandshakeTransformArgs, error: BaseException, why: str) -> None:
        self._failed(why)
        request.set_done(error)
