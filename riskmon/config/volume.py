"""How tomorrow's requests are predicted: the local calendar, and how far back counts tell of tomorrow."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from riskmon.config.values import Duration, Section

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _check_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as exc:  # not found, no name at all, a folder
        raise ValueError(
            f"no time zone is named {value!r}; give an IANA name such as UTC or Europe/Berlin"
        ) from exc
    return value


class VolumeConfig(Section):
    """How the requests of the coming hours are predicted."""

    timezone: Annotated[str, AfterValidator(_check_zone)] = Field(
        "UTC",
        description="IANA name of the users' time zone: hours of the day and days of the week are local",
    )
    weekend: tuple[Weekday, ...] = Field(
        ("sat", "sun"), description="days of the week that may have a shape of their own"
    )
    holidays: tuple[date, ...] = Field((), description="local dates with the traffic of a Sunday")
    history: Duration = Field(
        timedelta(days=56),
        description="counts older than this say nothing of tomorrow; as far as the store goes",
    )
