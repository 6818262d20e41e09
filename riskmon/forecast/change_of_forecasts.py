"""The change between stored forecasts: from one moment to another, and from one version of the model to another.

In come forecasts of 24 hours of one moment or two; out goes a `Change` per harm (`riskmon.forecast.change`), in harmful
outputs of 24 hours. Means are those of the forecasts themselves, so the parts add up to the difference of what was
published. Limits come from draws (`riskmon.forecast.stored_draws`); where a standard error is unknown there are none.

**Labels left out.** Strata that differ only in a label left out become one. A label that only one of the moments has is
always left out, for a stratum that it tells apart has no counterpart.

**What the limits do not know.** Two moments are drawn independently. Where their forecasts share sampled prompts, as
those made less than `forecast.lookback` apart do, errors of p are the same in part and cancel in truth: the interval
of p is then wider than it need be. A judge or a threshold that was changed in between shows as p.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from riskmon.forecast.change import decompose
from riskmon.forecast.stored_draws import Rename, StoredDraws
from riskmon.records import Forecast, Horizon, Stratum
from riskmon.records.change import Change, Effect


def change_between(
    before: Sequence[Forecast],
    after: Sequence[Forecast],
    *,
    draws: int,
    rng: np.random.Generator,
    without: Sequence[str] = (),
) -> dict[str, Change]:
    """Why the forecast of one moment differs from that of another.

    Args:
        before, after: all forecasts of a moment; only those of 24 hours count.
        draws: behind each interval.
        rng: source of chance.
        without: labels to leave out, as that of the model's version to see what a new version does to p.

    Returns:
        Per harm that both moments forecast by strata.
    """
    rename = _leaving_out({*without, *(_labels(before) ^ _labels(after))})
    shared = [harm for harm in _harms(after) if harm in _harms(before)]
    return {
        harm: _change(
            *(
                StoredDraws.of(_of_harm(moment, harm), draws, rng).renamed(rename)
                for moment in (before, after)
            )
        )
        for harm in shared
    }


def change_of_version(
    forecasts: Sequence[Forecast],
    label: str,
    before: str,
    after: str,
    *,
    draws: int,
    rng: np.random.Generator,
    later: Sequence[Forecast] | None = None,
) -> dict[str, Change]:
    """What one version of the model does against another.

    Volume is that one gets more requests, mix that it gets others, and p that it answers the same ones differently: per
    stratum of the other labels, at a traffic between that of the two.

    Args:
        forecasts: all forecasts of a moment; only those of 24 hours count.
        label: the label of the strata that tells versions apart.
        before, after: its values.
        draws, rng: as for `change_between`.
        later: forecasts of a later moment to take the version `after` from, as with a rollout; None is the same
            moment, at which both versions serve and share errors of the volume.

    Returns:
        Per harm that has strata of both versions.
    """
    changes = {}
    for harm in _harms(forecasts):
        first = StoredDraws.of(_of_harm(forecasts, harm), draws, rng)
        second = first if later is None else StoredDraws.of(_of_harm(later, harm), draws, rng)
        older, newer = first.renamed(_of_value(label, before)), second.renamed(_of_value(label, after))
        if older.means and newer.means:
            changes[harm] = _change(older, newer)
    return changes


def serving_versions(
    forecasts: Sequence[Forecast], label: str, seen: Sequence[Stratum], *, ignored: Collection[str] = ()
) -> tuple[str, str] | None:
    """The two values of a label with the most requests, the one that appeared later last.

    Args:
        forecasts: all forecasts of a moment.
        label: the label of the strata that tells versions apart.
        seen: known strata in the order of first sight.
        ignored: values that name no version.

    Returns:
        None where fewer than two values have requests, as where no stratum has such a label.
    """
    requests: dict[str, float] = defaultdict(float)
    for harm in _harms(forecasts)[:1]:  # all harms are forecast for the same requests
        for made in _of_harm(forecasts, harm):
            value = None if made.stratum is None else made.stratum.as_dict().get(label)
            if value is not None and value not in ignored:
                requests[value] += made.requests
    largest = sorted((value for value in requests if requests[value] > 0), key=lambda value: -requests[value])
    if len(largest) < 2:
        return None
    order = {value: place for place, value in enumerate(_values(seen, label))}
    before, after = sorted(largest[:2], key=lambda value: order.get(value, len(order)))
    return before, after


def _values(strata: Sequence[Stratum], label: str) -> dict[str | None, None]:
    """Distinct values in their order."""
    return dict.fromkeys(stratum.as_dict().get(label) for stratum in strata)


def _change(before: StoredDraws, after: StoredDraws) -> Change:
    """Means of the means, limits of the draws."""
    means = decompose(before.means, after.means)
    if before.draws is None or after.draws is None:
        return means
    spread = decompose(before.draws, after.draws)

    def effect(part: str) -> Effect:
        limits = getattr(spread, part)
        return Effect(getattr(means, part).mean, limits.low, limits.high)

    return Change(total=effect("total"), volume=effect("volume"), mix=effect("mix"), p=effect("p"))


def _of_harm(forecasts: Sequence[Forecast], harm: str) -> list[Forecast]:
    return [made for made in forecasts if made.harm == harm and made.horizon is Horizon.DAY]


def _harms(forecasts: Sequence[Forecast]) -> list[str]:
    """Harms with strata of 24 hours, in their order."""
    days = (made for made in forecasts if made.horizon is Horizon.DAY and made.stratum is not None)
    return list(dict.fromkeys(made.harm for made in days))


def _labels(forecasts: Sequence[Forecast]) -> set[str]:
    return {name for made in forecasts if made.stratum is not None for name, _ in made.stratum.labels}


def _leaving_out(labels: Collection[str]) -> Rename:
    return lambda stratum: Stratum(tuple(pair for pair in stratum.labels if pair[0] not in labels))


def _of_value(label: str, value: str) -> Rename:
    merged = _leaving_out({label})
    return lambda stratum: merged(stratum) if stratum.as_dict().get(label) == value else None
