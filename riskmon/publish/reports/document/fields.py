"""Fields of the report that are read from records of another type."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

from riskmon.publish.answer import Labels, Text
from riskmon.records import Stratum


def _labels(value: object) -> object:
    return value.as_dict() if isinstance(value, Stratum) else value


def _seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


StratumLabels = Annotated[Labels, BeforeValidator(_labels)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Reasons = dict[Text, int]
