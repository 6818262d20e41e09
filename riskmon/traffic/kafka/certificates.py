"""Certificates: the files of the configuration, and what is wrong with what a broker shows."""

from __future__ import annotations

import ssl
from pathlib import Path

from riskmon.config import KafkaSecurity
from riskmon.errors import ConfigError

_SECTION = "traffic.kafka.security"

# Codes of X509_verify_cert, <openssl/x509_vfy.h>.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})


def check_files(security: KafkaSecurity) -> None:
    """See that the files are there and hold what they should.

    Raises:
        ConfigError: one does not exist, cannot be read, or is none; or key and certificate do not belong together.
    """
    for key in ("ca_file", "cert_file", "key_file"):
        path: Path | None = getattr(security, key)
        if path is not None and not path.is_file():
            raise ConfigError(f"{_SECTION}.{key}: there is no file {path}")
    if security.protocol in {"SSL", "SASL_SSL"}:
        make_context(security)


def make_context(security: KafkaSecurity) -> ssl.SSLContext:
    """What a connection is checked against: TLS 1.2 or later, the broker's certificate and name.

    Raises:
        ConfigError: a file cannot be read or is none, or key and certificate do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if security.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(security.ca_file)
    except OSError as exc:
        raise ConfigError(
            f"{_SECTION}.ca_file: {security.ca_file} holds no certificate in PEM ({_cause(exc)})"
        ) from exc
    if security.cert_file is not None:
        try:
            context.load_cert_chain(security.cert_file, security.key_file, password=_no_password)
        except OSError as exc:
            raise ConfigError(
                f"{_SECTION}: cert_file {security.cert_file} and key_file {security.key_file or '(none given)'} are "
                f"no certificate and its key in PEM, without a password ({_cause(exc)})"
            ) from exc
    return context


def explain(exc: ssl.SSLCertVerificationError, server: str, security: KafkaSecurity) -> str:
    """What is wrong with a broker's certificate, and what to do."""
    code = exc.verify_code
    if code == _EXPIRED:
        return f"the certificate of {server} has expired; tell those who run the broker"
    if code == _NOT_YET_VALID:
        return (
            f"the certificate of {server} is not valid yet; check the clocks of this machine and the broker"
        )
    if code in _OTHER_NAME:
        return (
            f"the certificate of {server} is for another name; write the servers in traffic.kafka.bootstrap_servers as "
            "the certificate names them"
        )
    if code in _UNKNOWN_ISSUER:
        known = (
            f"is not the one in {security.ca_file}" if security.ca_file else "is not known to this machine"
        )
        return f"the authority behind the certificate of {server} {known}; set {_SECTION}.ca_file to its certificate"
    return f"the certificate of {server} is not accepted ({exc.verify_message})"


def _cause(exc: OSError) -> str:
    return getattr(exc, "reason", None) or exc.strerror or type(exc).__name__


def _no_password() -> str:
    """Without this, a key with a password makes OpenSSL ask on the terminal."""
    return ""
