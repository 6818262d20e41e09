"""A report by mail: the summary as text and as HTML, the files as attachments."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import ExitStack
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from riskmon.config import SmtpConfig
from riskmon.errors import DeliveryFailed
from riskmon.reporting.rendered import MEDIA_TYPES, RenderedReport


def compose(config: SmtpConfig, rendered: RenderedReport, now: datetime) -> EmailMessage:
    """The message.

    Args:
        now: stamped on it, aware.
    """
    message = EmailMessage()
    message["From"] = config.sender
    message["To"] = ", ".join(config.recipients)
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=config.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # keeps out-of-office answers away
    message.set_content(rendered.text)
    message.add_alternative(rendered.mail, subtype="html")
    for kind, content in rendered.files.items():
        main, sub = MEDIA_TYPES[kind]
        message.add_attachment(
            content.encode(),
            maintype=main,
            subtype=sub,
            filename=f"{rendered.name}.{kind}",
            params={"charset": "utf-8"} if main == "text" else None,
        )
    return message


def send(config: SmtpConfig, rendered: RenderedReport, now: datetime) -> None:
    """Mail a report.

    Raises:
        DeliveryFailed: the server cannot be reached, its certificate does not hold, or it refuses login, sender or any
            of the recipients. Those it did not refuse have got the mail.
    """
    message = compose(config, rendered, now)
    try:
        with ExitStack() as stack:
            server = stack.enter_context(_connect(config))
            if config.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if config.username is not None and config.password is not None:
                server.login(config.username, config.password.get_secret_value())
            refused = server.send_message(message)
    except (smtplib.SMTPException, OSError) as exc:
        raise DeliveryFailed(
            f"the mail server {config.host}:{config.port} did not take the report ({_kind(exc)}); see report.smtp"
        ) from exc
    if refused:
        raise DeliveryFailed(
            f"the mail server {config.host}:{config.port} refused {len(refused)} of {len(config.recipients)} recipients"
        )


def _connect(config: SmtpConfig) -> smtplib.SMTP:
    timeout = config.timeout.total_seconds()
    if config.security == "tls":
        return smtplib.SMTP_SSL(
            config.host, config.port, timeout=timeout, context=ssl.create_default_context()
        )
    return smtplib.SMTP(config.host, config.port, timeout=timeout)


def _kind(exc: Exception) -> str:
    """The kind of fault and the server's code; its words may repeat what it was told."""
    code = getattr(exc, "smtp_code", None)
    return type(exc).__name__ if code is None else f"{type(exc).__name__}, code {code}"
