"""`/api/v1/strata`: how much traffic each has, and how harmful."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from riskmon.publish.answer import Answer, Labels, Number


class StratumRewording(Answer):
    """How far the harm moves when a prompt of the stratum is harmlessly reworded."""

    prompts: int = Field(description="examined prompts: those that contribute most to the forecast")
    worst_amplification: Number = Field(
        description="harm probability of the riskiest rewording over that of the prompt as it stands, the largest over "
        "the examined prompts, corrected for being the largest"
    )
    worst_amplification_lower: Number = Field(description="lower end of its 95% interval")
    worst_amplification_upper: Number = Field(
        description="upper end of its 95% interval; null where nothing bounds it"
    )
    log10_spread: Number = Field(
        description="standard deviation of log10 p over rewordings of a prompt, noise taken out, median over prompts"
    )


class StratumHarm(Answer):
    """One harm in one stratum."""

    harm: str = Field(description="name of the harm")
    harm_probability: Number = Field(description="traffic-weighted mean probability of a harmful answer")
    harm_probability_upper: Number = Field(description="95% upper limit of that probability")
    expected: Number = Field(description="expected number of harmful outputs in the next 24 hours")
    prompts: int = Field(description="estimated prompts behind it")
    hits: int = Field(description="harmful draws behind it")
    rewording: StratumRewording | None = Field(
        description="what the last sensitivity run found; null where none of the stratum's prompts was examined"
    )


class StratumItem(Answer):
    """One stratum: how much traffic, and how harmful."""

    stratum: Labels = Field(description="labels of the stratum; empty where traffic is not split")
    daily_requests: Number = Field(description="predicted requests in the next 24 hours")
    share: Number = Field(description="share of all strata's predicted requests, 0 to 1")
    basis: str = Field(description="what the predicted volume rests on")
    harms: list[StratumHarm] = Field(description="in configured order")


class StratumEventItem(Answer):
    """A stratum that came or went."""

    at: datetime = Field(description="when it was noticed")
    change: Literal["appeared", "capped", "vanished", "reappeared"] = Field(
        description="what happened; capped: a limit sends traffic to `other`"
    )
    stratum: Labels = Field(description="labels of the stratum")
    since: datetime | None = Field(description="end of its last window with a request, where it vanished")
    share: Number = Field(description="share of all requests in its last week, where it vanished")


class StrataAnswer(Answer):
    """The strata of the traffic, the largest first."""

    taken_at: datetime = Field(description="when the store was read")
    made_at: datetime | None = Field(description="when the forecast was made; null before the first one")
    reworded_at: datetime | None = Field(
        description="when the last complete sensitivity run ended; null before the first one"
    )
    strata: list[StratumItem] = Field(description="empty before the first forecast")
    vanished: list[StratumEventItem] = Field(
        description="strata that have vanished and not come back, the last to vanish first"
    )
    events: list[StratumEventItem] = Field(
        description="strata that came or went in the last week, the newest first, but for the first day of counting"
    )
