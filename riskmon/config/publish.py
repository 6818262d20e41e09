"""Where the metrics, the page and the API are served, and who may read them.

Secrets are named by file, so that neither the configuration nor the environment of the process holds them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from riskmon.config.values import Listen, Section


class AuthConfig(Section):
    """What a reader must show; `/healthz` is open to all."""

    kind: Literal["none", "basic", "bearer"] = Field(
        "none", description="basic asks for a name and a password, bearer for a token"
    )
    username: str | None = Field(None, min_length=1, description="name, with kind basic; without a colon")
    password_file: Path | None = Field(
        None, description="file whose only line is the password, with kind basic; read at start"
    )
    token_file: Path | None = Field(
        None, description="file whose only line is the token, with kind bearer; read at start"
    )
    metrics: bool = Field(True, description="whether `/metrics` asks for it as well")

    @model_validator(mode="after")
    def _kind_has_its_keys(self) -> AuthConfig:
        wanted = {"none": set(), "basic": {"username", "password_file"}, "bearer": {"token_file"}}[self.kind]
        given = {key for key in ("username", "password_file", "token_file") if getattr(self, key) is not None}
        if missing := sorted(wanted - given):
            raise ValueError(f"kind {self.kind} needs {' and '.join(missing)}")
        if extra := sorted(given - wanted):
            raise ValueError(f"kind {self.kind} has no use for {' and '.join(extra)}")
        if self.username is not None and (":" in self.username or not self.username.isprintable()):
            raise ValueError("username must hold no colon and no control characters")
        return self


class TlsConfig(Section):
    """Encryption; plain HTTP without a certificate."""

    certificate: Path | None = Field(None, description="certificate chain of the server, PEM; read at start")
    key: Path | None = Field(None, description="its private key, PEM, without a passphrase")
    client_ca: Path | None = Field(
        None, description="authority, PEM; then only callers with a certificate of it can connect"
    )

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> TlsConfig:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give both certificate and key, or neither")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca needs certificate and key")
        return self


class PublishConfig(Section):
    """Where the metrics, the page and the API are served."""

    listen: Listen = Field(
        "127.0.0.1:9108", description="host:port of the HTTP server; port 0 takes a free one"
    )
    reports: Path | None = Field(
        None, description="folder of reports, which the page lists and `/reports/` serves"
    )
    auth: AuthConfig = Field(AuthConfig(), description="what a reader must show")
    tls: TlsConfig = Field(TlsConfig(), description="encryption; plain HTTP without a certificate")

    def anchored(self, base: Path) -> PublishConfig:
        """The same section with relative paths taken from `base`."""

        def at(section: Section, *keys: str) -> dict[str, Any]:
            return {key: base / path for key in keys if isinstance(path := getattr(section, key), Path)}

        return self.model_copy(
            update={
                **at(self, "reports"),
                "auth": self.auth.model_copy(update=at(self.auth, "password_file", "token_file")),
                "tls": self.tls.model_copy(update=at(self.tls, "certificate", "key", "client_ca")),
            }
        )
