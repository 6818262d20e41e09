"""Why a broker turns us away: a knock at the door, spoken step by step.

The steps are those of every client: TCP, TLS, a first question, the login. Each that fails has causes that a user can
tell apart and mend: a certificate, a listener that speaks otherwise than configured, a mechanism, a password. What this
module is not sure of it leaves to the client, as it does a broker that does not answer at all.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any

from riskmon.config import KafkaConfig, KafkaSecurity
from riskmon.traffic.kafka.certificates import explain, make_context
from riskmon.traffic.kafka.client import (
    ApiVersionsRequest,
    MetadataRequest,
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
    get_sasl_mechanism,
)

_UNSUPPORTED_MECHANISM, _ILLEGAL_STATE, _FAILED = 33, 34, 58
_LARGEST_ANSWER = 10_000_000
_TLS_ALERT = b"\x15\x03"
_PROTOCOL = "traffic.kafka.security.protocol"
_CERTIFICATE_WANTED = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA")


class _Refusal(Exception):
    """One sentence for the user."""


class _Closed(Exception):
    """The broker ended the connection instead of answering."""


def find_refusal(config: KafkaConfig, timeout_s: float) -> str | None:
    """Why the first broker that can be reached refuses us; None when it does not, or when none can be reached.

    Args:
        timeout_s: longest wait for all servers to take a connection, and for each step after that.

    Raises:
        ConfigError: a certificate or key file is none.
    """
    to_connect_s = timeout_s / len(config.bootstrap_servers)
    for server in config.bootstrap_servers:
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), to_connect_s) as connection:
                connection.settimeout(timeout_s)
                _knock(connection, host.strip("[]"), server, config.security)
        except _Refusal as refusal:
            return str(refusal)
        except (OSError, ValueError, _Closed):
            continue
        return None
    return None


def _knock(connection: socket.socket, host: str, server: str, security: KafkaSecurity) -> None:
    if security.protocol.endswith("SSL"):
        with _encrypt(connection, host, server, security) as encrypted:
            talk = _Talk(encrypted)
            try:
                # TLS 1.3 tells a client that its certificate is missed only after the handshake, if it tells.
                talk.ask(ApiVersionsRequest(version=0))
            except (ssl.SSLError, _Closed) as exc:
                raise _no_certificate(server, security) from exc
            _introduce(talk, host, server, security)
        return
    talk = _Talk(connection)
    try:
        talk.ask(ApiVersionsRequest(version=0))
    except _Closed as exc:
        if talk.begins_with(_TLS_ALERT) or _speaks_tls(connection, host):
            raise _Refusal(
                f"{server} speaks TLS, and {_PROTOCOL} is {security.protocol}; set it to "
                f"{'SASL_SSL' if security.mechanism else 'SSL'}"
            ) from exc
        raise
    _introduce(talk, host, server, security)


def _introduce(talk: _Talk, host: str, server: str, security: KafkaSecurity) -> None:
    if security.protocol.startswith("SASL"):
        _log_in(talk, host, server, security)
    else:
        _expect_welcome(talk, server, security)


def _encrypt(connection: socket.socket, host: str, server: str, security: KafkaSecurity) -> ssl.SSLSocket:
    try:
        return make_context(security).wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as exc:
        raise _Refusal(explain(exc, server, security)) from exc
    except (ssl.SSLError, ConnectionError) as exc:
        if any(wanted in (getattr(exc, "reason", None) or "") for wanted in _CERTIFICATE_WANTED):
            raise _no_certificate(server, security) from exc
        plain = "SASL_PLAINTEXT" if security.mechanism else "PLAINTEXT"
        raise _Refusal(
            f"{server} does not answer in TLS, and {_PROTOCOL} is {security.protocol}; give the port of a TLS "
            f"listener, or set it to {plain} if the broker has none"
        ) from exc


def _no_certificate(server: str, security: KafkaSecurity) -> _Refusal:
    state = "is not accepted" if security.cert_file else "is not configured"
    return _Refusal(
        f"{server} ends the connection after TLS, as brokers do that want a certificate of the client, which {state}; "
        "set traffic.kafka.security.cert_file and key_file to one that the broker knows"
    )


def _speaks_tls(connection: socket.socket, host: str) -> bool:
    """Whether a TLS handshake succeeds at the same port, whatever certificate is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, connection.getpeername()[1]), connection.gettimeout()) as another,
            context.wrap_socket(another, server_hostname=host),
        ):
            return True
    except OSError:
        return False


def _expect_welcome(talk: _Talk, server: str, security: KafkaSecurity) -> None:
    """A question that only those may ask who need no login, or have one."""
    try:
        talk.ask(MetadataRequest(topics=[], version=1))
    except _Closed as exc:
        wanted = "SASL_SSL" if security.protocol == "SSL" else "SASL_PLAINTEXT"
        raise _Refusal(
            f"{server} ends the connection of a client that does not log in, and {_PROTOCOL} is {security.protocol}; "
            f"set it to {wanted}, with mechanism, username and password"
        ) from exc


def _log_in(talk: _Talk, host: str, server: str, security: KafkaSecurity) -> None:
    if security.mechanism is None or security.password is None:
        raise AssertionError("KafkaSecurity checks that a login is whole")
    try:
        answer = talk.ask(SaslHandshakeRequest(mechanism=security.mechanism, version=1))
    except _Closed as exc:
        raise _no_login(server, security) from exc
    handshake = SaslHandshakeResponse.decode(answer, version=1)
    if handshake.error_code == _UNSUPPORTED_MECHANISM:
        raise _Refusal(
            f"{server} does not take the mechanism {security.mechanism}; it offers "
            f"{', '.join(sorted(handshake.mechanisms)) or 'none'}; mend traffic.kafka.security.mechanism"
        )
    if handshake.error_code == _ILLEGAL_STATE:
        raise _no_login(server, security)
    if handshake.error_code:
        return
    mechanism = get_sasl_mechanism(security.mechanism)(
        host=host,
        security_protocol=security.protocol,
        sasl_mechanism=security.mechanism,
        sasl_plain_username=security.username,
        sasl_plain_password=security.password.get_secret_value(),
    )
    while not mechanism.is_done():
        try:
            answer = talk.ask(SaslAuthenticateRequest(auth_bytes=mechanism.auth_bytes(), version=0))
        except _Closed:
            raise _not_let_in(server, security, "it ended the connection") from None
        step = SaslAuthenticateResponse.decode(answer, version=0)
        if step.error_code == _FAILED:
            raise _not_let_in(server, security, (step.error_message or "no reason given")[:200])
        if step.error_code:
            return
        try:
            mechanism.receive(step.auth_bytes)
        except (ValueError, KeyError, UnicodeDecodeError):
            # `from None`: what the library says may hold what was sent.
            raise _not_let_in(server, security, "its side of the login does not add up") from None


def _not_let_in(server: str, security: KafkaSecurity, why: str) -> _Refusal:
    return _Refusal(
        f"{server} does not let the user {security.username!r} in by {security.mechanism} ({why.strip().rstrip('.')}); "
        "check traffic.kafka.security.username and password, and that the broker has this user for this mechanism"
    )


def _no_login(server: str, security: KafkaSecurity) -> _Refusal:
    plain = "SSL" if security.protocol == "SASL_SSL" else "PLAINTEXT"
    return _Refusal(
        f"{server} knows of no login, and {_PROTOCOL} is {security.protocol}; set it to {plain}, or give the port of a "
        "listener with SASL"
    )


class _Talk:
    """Questions and answers over one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._asked = 0
        self._received = b""

    def ask(self, request: Any) -> bytes:
        """The body of the answer, without size and correlation id.

        Raises:
            _Closed: the broker ended the connection, or sent what is no answer.
            OSError: it did not answer in time, or TLS failed.
        """
        self._asked += 1
        request.with_header(correlation_id=self._asked, client_id="riskmon")
        self._received = b""
        try:
            self._connection.sendall(request.encode(framed=True, header=True))
            (size,) = struct.unpack(">i", self._read(4))
            if not 4 <= size <= _LARGEST_ANSWER:
                raise _Closed
            return self._read(size)[4:]
        except ConnectionError as exc:
            raise _Closed from exc

    def begins_with(self, bytes_: bytes) -> bool:
        """Whether the last answer began so."""
        return self._received.startswith(bytes_)

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            piece = self._connection.recv(size - len(read))
            if not piece:
                raise _Closed
            read += piece
            self._received = self._received or read
        return read
