"""Who may read: basic authentication (RFC 7617) or a bearer token (RFC 6750), checked before any route.

In comes `publish.auth`; out goes an ASGI middleware that lets a request through or answers 401 with the challenge
that the scheme asks for. The secret comes from a file, read once at start, and is compared in constant time: both
sides are hashed first, so that not even a length shows, and a wrong name costs as much as a wrong password.

Open to all:

- `/healthz`, because a supervisor that restarts a dead process has no password. It names loops and nothing else.
- `/readyz` without its reasons, because a load balancer has none either. With credentials the reasons are there.
- `/metrics`, where `publish.auth.metrics` is false.

Wrong credentials are logged, at most one line a minute, with the caller's address and how many there were: neither
what was sent nor the name, for people type passwords into the wrong field. A request without any credentials is only
answered: that is how every browser begins.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from riskmon.config.publish import AuthConfig, TlsConfig
from riskmon.errors import ConfigError
from riskmon.publish.problem import problem
from riskmon.publish.secret_file import read_secret

REALM = "riskmon"
KNOWN = "riskmon.known"
"""Key of the request's scope: whether the caller has shown who it is. Absent where nobody is asked."""

_LOG_EVERY_S = 60.0
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")

log = logging.getLogger(__name__)


class Credentials(Protocol):
    """What a reader must show."""

    def challenge(self, *, refused: bool) -> str:
        """The value of `WWW-Authenticate`; `refused` when credentials came and were wrong."""

    def admit(self, authorization: str) -> bool:
        """Whether the value of an `Authorization` header opens the door."""


@dataclass(frozen=True, slots=True)
class Basic:
    """A name and a password."""

    username: bytes
    password: bytes = field(repr=False)

    def challenge(self, *, refused: bool) -> str:  # noqa: ARG002 - the scheme has one challenge for both
        """As in RFC 7617; clients are told to encode in UTF-8."""
        return f'Basic realm="{REALM}", charset="UTF-8"'

    def admit(self, authorization: str) -> bool:
        """Whether name and password are both right."""
        scheme, _, given = authorization.partition(" ")
        try:
            name, _, password = base64.b64decode(given.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):  # ValueError: not ASCII
            return False
        # No short cut between the two: the time must not tell which one was wrong.
        same = _same(name, self.username) & _same(password, self.password)
        return scheme.lower() == "basic" and same


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token."""

    token: bytes = field(repr=False)

    def challenge(self, *, refused: bool) -> str:
        """As in RFC 6750: the reason is given only to callers that sent a token."""
        return f'Bearer realm="{REALM}"' + (', error="invalid_token"' if refused else "")

    def admit(self, authorization: str) -> bool:
        """Whether the token is right."""
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and _same(given.strip().encode("latin-1", "replace"), self.token)


def _same(given: bytes, wanted: bytes) -> bool:
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(wanted).digest())


def read_credentials(auth: AuthConfig) -> Credentials | None:
    """What `publish.auth` asks of a reader; None when it asks nothing.

    Raises:
        ConfigError: a file of a secret cannot be used.
    """
    if auth.username is not None and auth.password_file is not None:
        return Basic(auth.username.encode(), read_secret(auth.password_file, "publish.auth.password_file"))
    if auth.token_file is not None:
        token = read_secret(auth.token_file, "publish.auth.token_file")
        if not _TOKEN.fullmatch(token):
            raise ConfigError(
                f"publish.auth.token_file {auth.token_file} holds a character that no bearer token can carry; "
                "allowed are letters, digits and -._~+/ with = at the end, as `openssl rand -hex 32` gives"
            )
        return Bearer(token)
    return None


def risks(auth: AuthConfig, tls: TlsConfig, host: str) -> Iterator[str]:
    """Sentences on what a server that listens on the address `host` gives away; none on a loopback address."""
    if ipaddress.ip_address(host).is_loopback:
        return
    if auth.kind == "none" and tls.client_ca is None:
        yield (
            "publish.listen reaches beyond this machine and whoever can connect reads the forecasts: "
            "set publish.auth, or listen on 127.0.0.1"
        )
    if auth.kind != "none" and tls.certificate is None:
        yield (
            "publish.auth without publish.tls sends its secret readably over the network: "
            "set publish.tls, or listen on 127.0.0.1 behind a proxy that encrypts"
        )


class Access:
    """Lets those requests through that show the credentials, and those for open paths.

    Args:
        app: the application behind it.
        credentials: what is asked for.
        metrics: whether `/metrics` asks for it as well.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        app: ASGIApp,
        credentials: Credentials,
        *,
        metrics: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._open = {"/healthz"} if metrics else {"/healthz", "/metrics"}
        self._refusals = _Refusals(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist("authorization")
        known = len(given) == 1 and self._credentials.admit(given[0])
        if given and not known:
            self._refusals.note(scope)
        if known or (not given and scope["path"] == "/readyz"):
            await self._app({**scope, KNOWN: known}, receive, send)
            return
        challenge = self._credentials.challenge(refused=bool(given))
        detail = "These credentials are not valid." if given else "Credentials are needed."
        answer = problem(scope["path"], 401, detail, {"WWW-Authenticate": challenge})
        await answer(scope, receive, send)


class _Refusals:
    """Logs refused credentials, at most one line in `_LOG_EVERY_S`; runs on the event loop alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._unsaid = 0
        self._quiet_until = float("-inf")

    def note(self, scope: Scope) -> None:
        self._unsaid += 1
        now = self._clock()
        if now < self._quiet_until:
            return
        client = scope.get("client")
        log.warning(
            "refused wrong credentials %d time(s) since the last such line; the latest came from %.64s",
            self._unsaid,
            ascii(client[0]) if client else "an unknown address",
        )
        self._unsaid = 0
        self._quiet_until = now + _LOG_EVERY_S
