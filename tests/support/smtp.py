"""A real SMTP server on 127.0.0.1: in clear, with STARTTLS, or with TLS from the start; with or without a login."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOST = "localhost"


@dataclass
class MailServer:
    """What the server has taken; `refuses` holds recipients that it turns away."""

    port: int = 0
    refuses: set[str] = field(default_factory=set)
    taken: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    only_tls: bool = False

    async def handle_RCPT(
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        if address in self.refuses:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        message = message_from_bytes(cast(bytes, envelope.content), policy=policy.default)
        self.taken.append((str(envelope.mail_from), list(envelope.rcpt_tos), cast(EmailMessage, message)))
        self.encrypted.append(session.ssl is not None or self.only_tls)
        return "250 taken"


@contextmanager
def mail_server(
    folder: Path, security: str = "none", login: tuple[str, str] | None = None, port: int = 0
) -> Iterator[MailServer]:
    """Run a server; its certificate is signed by the authority in `folder`/ca.pem."""
    server = MailServer(only_tls=security == "tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)

    def check(_: Any, __: Any, ___: Any, mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        server.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=login == server.logins[-1], handled=False)

    options: dict[str, Any] = {}
    if login is not None:
        options = {"authenticator": check, "auth_required": True, "auth_require_tls": security == "starttls"}
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    controller = Controller(
        server,
        hostname=HOST,
        port=port or _free_port(),
        ssl_context=context if security == "tls" else None,
        **options,
    )
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()


def _free_port() -> int:
    import socket

    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])
