"""Encryption by `publish.tls`: the files are tried at start, and then named to the HTTP server.

With `client_ca` every caller must show a certificate of that authority already when it connects; nothing is open then,
not even `/healthz`. Files are read once: a renewed certificate needs a restart.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from riskmon.config.publish import TlsConfig
from riskmon.errors import ConfigError
from riskmon.publish.secret_file import read_private


def server_options(tls: TlsConfig) -> dict[str, Any]:
    """Keyword arguments for `uvicorn.Config`; empty for plain HTTP.

    Raises:
        ConfigError: a file cannot be read, is not PEM, needs a passphrase, or does not fit the others.
    """
    if tls.certificate is None or tls.key is None:
        return {}
    options: dict[str, Any] = {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key}
    # A context of our own: uvicorn loads the files in its thread, where a fault has nobody to tell.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _try_pair(context, tls.certificate, tls.key)
    if tls.client_ca is not None:
        _try_authority(context, tls.client_ca)
        options |= {"ssl_ca_certs": tls.client_ca, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options


def _try_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    _expect(_read(certificate, "certificate"), b"CERTIFICATE-----", certificate, "certificate")
    _expect(read_private(key, "publish.tls.key"), b"PRIVATE KEY-----", key, "key")
    asked = []

    def passphrase() -> str:
        """Instead of OpenSSL's question on the terminal, where nobody may be."""
        asked.append(True)
        return ""

    try:
        context.load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as exc:
        if asked:
            raise ConfigError(
                f"publish.tls.key {key} is locked with a passphrase; give a key without one, "
                "such as `openssl pkey -in OLD -out NEW` writes"
            ) from exc
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"publish.tls.key {key} does not belong to publish.tls.certificate {certificate}; "
                "give the key that the certificate was made for"
            ) from exc
        raise ConfigError(
            f"publish.tls.certificate {certificate} with its key {key} cannot be used: {_reason(exc)}"
        ) from exc


def _try_authority(context: ssl.SSLContext, authority: Path) -> None:
    _expect(_read(authority, "client_ca"), b"CERTIFICATE-----", authority, "client_ca")
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as exc:
        raise ConfigError(f"publish.tls.client_ca {authority} cannot be used: {_reason(exc)}") from exc


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"publish.tls.{key} {path} cannot be read: {exc.strerror}") from exc


def _expect(content: bytes, marker: bytes, path: Path, key: str) -> None:
    if marker not in content:
        what = "private key" if key == "key" else "certificate"
        raise ConfigError(f"publish.tls.{key} {path} holds no {what}; give one as PEM text")


def _reason(exc: ssl.SSLError) -> str:
    return (exc.reason or "not readable").replace("_", " ").lower()
