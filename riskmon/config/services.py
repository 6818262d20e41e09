"""Forecast, store and logs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from riskmon.config.values import Cron, Duration, Section
from riskmon.config.volume import VolumeConfig


class ForecastConfig(Section):
    """From prompts to a day."""

    schedule: Cron = Field("*/5 * * * *", description="crontab of the forecast, UTC")
    lookback: Duration = Field(timedelta(hours=24), description="traffic and estimates of this span count")
    draws: int = Field(4000, ge=200, description="Monte Carlo draws behind the interval")
    retries: int = Field(
        10,
        ge=1,
        description="answers to one prompt that the retry risk speaks of: a harmful one among so many",
    )
    volume: VolumeConfig = Field(
        VolumeConfig(), description="how the requests of the coming hours are predicted"
    )


class StoreConfig(Section):
    """The database."""

    url: str = Field(
        "sqlite:///riskmon.db", description="SQLAlchemy URL: SQLite or PostgreSQL (postgresql+psycopg://)"
    )
    key_file: Path | None = Field(
        None,
        description="file of the keys that text is encrypted with, made where there is none; by default the SQLite "
        "file's name with `.key` behind it",
    )
    key: SecretStr | None = Field(
        None,
        description="the keys themselves, for containers; give them by the environment, RISKMON_STORE__KEY",
    )
    retention: Duration = Field(
        timedelta(days=7), description="prompts, estimates and hits older than this are purged"
    )
    count_retention: Duration = Field(
        timedelta(days=60),
        description="counts of requests and forecasts older than this and than retention are purged; they hold no text",
    )

    @model_validator(mode="after")
    def _keys_from_one_place(self) -> StoreConfig:
        if self.key is not None and self.key_file is not None:
            raise ValueError("give either key_file or key, not both")
        return self


class LoggingConfig(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level written"
    )
    format: Literal["console", "json"] = Field(
        "console", description="console for people, json for collectors"
    )
