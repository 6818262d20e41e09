"""Forecast, store and logs."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

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
    retention: Duration = Field(
        timedelta(days=7), description="prompts, estimates and hits older than this are purged"
    )
    count_retention: Duration = Field(
        timedelta(days=60),
        description="counts of requests and forecasts older than this and than retention are purged; they hold no text",
    )


class LoggingConfig(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level written"
    )
    format: Literal["console", "json"] = Field(
        "console", description="console for people, json for collectors"
    )
