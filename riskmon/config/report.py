"""What a deployment report holds, when one is written, and where it goes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from riskmon.config.values import Cron, Duration, Section

ReportFormat = Literal["html", "md", "json"]


def _check_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        found = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        found = False
    if not found:
        raise ValueError("an address begins with http:// or https:// and names a host")
    return value


# Addresses of incoming webhooks are secrets in themselves, and others may carry a password.
SecretUrl = Annotated[SecretStr, AfterValidator(_check_url)]


class WebhookConfig(Section):
    """An address that gets a report as JSON, by POST."""

    url: SecretUrl = Field(description="address; kept secret, and only its host is ever shown")
    content: Literal["summary", "whole"] = Field(
        "summary",
        description="summary has no prompt id; whole adds the JSON report, excerpts included if they are on",
    )
    header: str = Field(
        "Authorization", pattern=r"^[A-Za-z0-9-]+$", description="name of the header that carries `secret`"
    )
    secret: SecretStr | None = Field(
        None, description="value of that header, such as `Bearer ...`; better given by the environment"
    )
    timeout: Duration = Field(
        timedelta(seconds=10), description="longest wait for a connection and for each piece of an answer"
    )
    retries: int = Field(3, ge=0, le=10, description="further tries after a failure that may pass")

    @model_validator(mode="after")
    def _secret_can_be_sent(self) -> WebhookConfig:
        if self.secret is not None:
            value = self.secret.get_secret_value().strip()
            if not (value and value.isascii() and value.isprintable()):
                raise ValueError("secret is empty or holds characters that no header can carry")
        return self


class SmtpConfig(Section):
    """A mail server that reports are sent through."""

    host: str = Field(min_length=1, description="name of the server")
    port: int = Field(
        587, ge=1, le=65535, description="587 is usual with starttls, 465 with tls, 25 with none"
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="starttls and tls check the server's certificate; none sends everything in clear",
    )
    username: str | None = Field(None, min_length=1, description="user, where the server asks for one")
    password: SecretStr | None = Field(
        None, description="password of the user; better given by the environment"
    )
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", description="address that reports come from")
    recipients: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = Field(
        min_length=1, description="addresses that reports go to"
    )
    timeout: Duration = Field(timedelta(seconds=20), description="longest wait for each answer of the server")

    @model_validator(mode="after")
    def _login_is_whole_and_safe(self) -> SmtpConfig:
        if (self.username is None) != (self.password is None):
            raise ValueError("give both username and password, or neither")
        if self.username is not None and self.security == "none":
            raise ValueError("security none would send the password in clear; use starttls or tls")
        return self


class ReportConfig(Section):
    """Deployment reports: what they hold, when the daemon writes one, where they go."""

    folder: Path | None = Field(
        None,
        description="folder they are written to; null takes publish.reports, so that the page lists them",
    )
    schedule: Cron | None = Field(
        "0 6 * * mon",
        description="crontab of the daemon's report, UTC, where there is a folder, webhook or mail server; name days, "
        "since 0 is Monday here; null never",
    )
    on_release: bool = Field(
        True,
        description="whether one is written after the first cycle of a changed target; needs a folder, which remembers",
    )
    period: Duration = Field(timedelta(days=7), description="span that a report looks back over")
    formats: tuple[ReportFormat, ...] = Field(
        ("html", "md", "json"), min_length=1, description="which files are written"
    )
    top_prompts: int = Field(20, ge=0, le=1000, description="prompts shown per harm, by their part of it")
    excerpt_characters: int = Field(
        0,
        ge=0,
        le=500,
        description="characters of a prompt's text shown with it, digits and e-mail addresses masked; this is text of "
        "production; 0 shows none",
    )
    link: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = Field(
        None,
        description="address of the page as readers reach it; mail and webhook then link to the report",
    )
    prometheus: SecretUrl | None = Field(
        None, description="address of a Prometheus whose alerts named Riskmon... a report lists"
    )
    webhook: WebhookConfig | None = Field(None, description="where reports are posted")
    smtp: SmtpConfig | None = Field(None, description="how reports are mailed")

    @model_validator(mode="after")
    def _formats_differ(self) -> ReportConfig:
        if len(set(self.formats)) != len(self.formats):
            raise ValueError(f"formats must differ from one another, found {list(self.formats)}")
        return self

    def anchored(self, base: Path) -> ReportConfig:
        """The same section with its folder taken from `base`."""
        return self if self.folder is None else self.model_copy(update={"folder": base / self.folder})
