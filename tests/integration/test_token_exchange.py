"""Credentials from a token exchange service on loopback, and from one that does not do what it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.token_exchange import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    TOKEN,
    TokenExchangeService,
    answer,
    token_exchange_service,
)
from weir.transports import token_exchange
from weir.transports.token_exchange import Credentials, TokenExchange, TokenExchangeFailed

GOOD = Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN)


class Clock:
    """A monotonic clock by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def complaint(exchange: TokenExchange) -> str:
    with pytest.raises(TokenExchangeFailed) as failed:
        exchange.credentials()
    assert failed.value.__cause__ is None
    text = str(failed.value)
    assert not any(secret in text for secret in (TOKEN, SECRET_ACCESS_KEY, SESSION_TOKEN))
    return text


def test_it_gives_credentials_to_who_shows_the_token(service: TokenExchangeService) -> None:
    assert TokenExchange(service.uri, TOKEN).credentials() == GOOD
    assert "HTTP 403" in complaint(TokenExchange(service.uri, "another"))
    assert "HTTP 403" in complaint(TokenExchange(service.uri, None))


def test_credentials_do_not_show_what_they_are() -> None:
    assert repr(GOOD) == str(GOOD) == "Credentials(…)"


def test_they_are_kept_until_five_minutes_before_they_expire(service: TokenExchangeService) -> None:
    clock = Clock()
    exchange = TokenExchange(service.uri, TOKEN, monotonic=clock)
    service.body = lambda: answer(hours=0.5)
    exchange.credentials()
    clock.now += 1400
    assert exchange.credentials() == GOOD
    assert service.asked == 1
    clock.now += 101
    exchange.credentials()
    assert service.asked == 2


def test_they_are_fetched_anew_once_they_are_to_be_forgotten(service: TokenExchangeService) -> None:
    exchange = TokenExchange(service.uri, TOKEN)
    exchange.credentials()
    exchange.forget()
    exchange.credentials()
    assert service.asked == 2


@pytest.mark.parametrize("hours", [-24.0, 0.05])
def test_what_seems_to_have_expired_is_used_once_since_the_clock_may_be_wrong(
    service: TokenExchangeService, hours: float
) -> None:
    exchange = TokenExchange(service.uri, TOKEN)
    service.body = lambda: answer(hours=hours)
    assert exchange.credentials() == GOOD
    exchange.credentials()
    assert service.asked == 2


@pytest.mark.parametrize("expiration", ["tomorrow", "", "0001-01-01T00:00:00", None])
def test_an_expiration_that_says_nothing_keeps_nothing(service: TokenExchangeService, expiration: str | None) -> None:
    exchange = TokenExchange(service.uri, TOKEN)
    service.body = lambda: answer(Expiration=expiration)
    assert exchange.credentials() == GOOD
    exchange.credentials()
    assert service.asked == 2


def test_a_clock_that_is_years_behind_does_not_keep_them_for_years(service: TokenExchangeService) -> None:
    clock = Clock()
    exchange = TokenExchange(service.uri, TOKEN, wall=lambda: 0.0, monotonic=clock)
    exchange.credentials()
    clock.now += 3599
    exchange.credentials()
    assert service.asked == 1
    clock.now += 2
    exchange.credentials()
    assert service.asked == 2


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 500, 503])
def test_a_refusal_is_told_by_its_status(service: TokenExchangeService, status: int) -> None:
    service.status = status
    service.body = SECRET_ACCESS_KEY.encode
    assert complaint(TokenExchange(service.uri, TOKEN)).startswith(f"token exchange service refused: HTTP {status}")


def test_it_is_not_led_elsewhere(service: TokenExchangeService) -> None:
    with token_exchange_service() as elsewhere:
        service.status, service.location = 302, elsewhere.uri
        complaint(TokenExchange(service.uri, TOKEN))
        assert elsewhere.asked == 0


@pytest.mark.parametrize(
    "body",
    [
        lambda: b"",
        lambda: b"<html>",
        lambda: b"\xff\xfe",
        lambda: b"[]",
        lambda: b"{}",
        lambda: answer(Token=None),
        lambda: answer(Token=""),
        lambda: answer(AccessKeyId=5),
        lambda: answer(SecretAccessKey="a\nb"),
        lambda: b"[" * 60_000,
    ],
)
def test_garbage_is_told_without_repeating_it(service: TokenExchangeService, body: Callable[[], bytes]) -> None:
    service.body = body
    assert complaint(TokenExchange(service.uri, TOKEN)) == (
        "token exchange service answered with something else than AccessKeyId, SecretAccessKey and Token as JSON"
    )


def test_an_answer_without_end_is_not_read_to_its_end(service: TokenExchangeService) -> None:
    service.body = lambda: b" " * 1_000_000 + answer()
    assert "more than 65536 bytes" in complaint(TokenExchange(service.uri, TOKEN))


@pytest.mark.parametrize("lever", ["stalled", "drips"])
def test_it_does_not_wait_for_long(service: TokenExchangeService, lever: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_exchange, "DEADLINE_SECONDS", 0.5)
    setattr(service, lever, True)
    assert complaint(TokenExchange(service.uri, TOKEN)) == "token exchange service did not answer within 0.5 s"


def test_a_service_that_is_not_there_is_told(service: TokenExchangeService) -> None:
    uri = service.uri
    service.shutdown()
    service.server_close()
    assert complaint(TokenExchange(uri, TOKEN)) == "token exchange service does not answer: Connection refused"


def test_no_proxy_is_asked(service: TokenExchangeService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert TokenExchange(service.uri, TOKEN).credentials() == GOOD


@pytest.mark.parametrize("uri", ["http://169.254.169.254/x", "http://example.org/x", "http://localhost.example.org/"])
def test_nobody_is_asked_in_the_clear_but_this_machine(uri: str) -> None:
    assert "in the clear" in complaint(TokenExchange(uri, TOKEN))


@pytest.mark.parametrize(
    "uri", ["", "localhost:80", "ftp://localhost/", "file:///etc/passwd", "http://[::1", "http://localhost:99999/",
            "http://user:secret@localhost/", "http://localhost/a b", "http://localhost/\r\nX: y", "https://"]
)  # fmt: skip
def test_what_is_no_address_is_not_asked(uri: str) -> None:
    assert complaint(TokenExchange(uri, TOKEN)) == "AWS_CONTAINER_CREDENTIALS_FULL_URI is no http or https address"


def test_a_token_that_cannot_be_sent_is_not_shown(service: TokenExchangeService) -> None:
    exchange = TokenExchange(service.uri, f"{TOKEN}\r\nX-Other: y")
    assert complaint(exchange) == "AWS_CONTAINER_AUTHORIZATION_TOKEN is no value of an HTTP header"
    assert service.asked == 0
