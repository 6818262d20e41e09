"""The body of a scrape, encoded by prometheus_client in the format that the caller accepts.

Families by stratum are nearly all of it (8 to 12 series per stratum and harm), and change with a new forecast or
sensitivity run only: minutes or hours apart, where scrapes are seconds apart. So their text is kept and made anew when
what it is made from has changed. Everything else is encoded at every scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import cast

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from riskmon.publish.facts import Facts
from riskmon.publish.metrics.collector import by_stratum, everything_else, of_role
from riskmon.publish.metrics.family import Family
from riskmon.records import Snapshot

_Encode = Callable[[CollectorRegistry], bytes]

# Callers may name any version of a format; these are more than any fleet of scrapers does.
_KEPT_FORMATS = 4
_END = b"# EOF\n"  # of OpenMetrics, once


class Exposition:
    """Encodes riskmon's metrics and those of the process.

    Args:
        latest: the snapshot to show; None while the store cannot be read.
        facts: what is configured and running.
    """

    def __init__(self, latest: Callable[[], Snapshot | None], facts: Callable[[], Facts]) -> None:
        self._latest = latest
        self._facts = facts
        self._process = _process_registry()
        self._kept: dict[str, tuple[object, bytes]] = {}

    def encode(self, accept: str) -> tuple[bytes, str]:
        """The body, and its content type.

        Args:
            accept: the header of that name; empty where there is none.
        """
        encode, content_type = _encoder(accept)
        snapshot, facts = self._latest(), self._facts()
        strata = b"" if snapshot is None else self._by_stratum(snapshot, facts, encode, content_type)
        process = encode(self._process).removesuffix(_END)
        return strata + process + _encoded(everything_else(snapshot, facts), encode), content_type

    def _by_stratum(self, snapshot: Snapshot, facts: Facts, encode: _Encode, content_type: str) -> bytes:
        made_from = (snapshot.forecasts, snapshot.sensitivity, facts)
        kept = self._kept.get(content_type)
        if kept is not None and kept[0] == made_from:
            return kept[1]
        text = _encoded(by_stratum(snapshot, facts), encode).removesuffix(_END)
        if len(self._kept) >= _KEPT_FORMATS:
            self._kept.clear()
        self._kept[content_type] = (made_from, text)
        return text


class RoleExposition:
    """Encodes what is a process's own, for the roles that show no snapshot.

    Args:
        facts: as of `Exposition`.
        written_at: when a write of it last went through; None where it writes too seldom for that to tell anything.
    """

    def __init__(self, facts: Callable[[], Facts], written_at: Callable[[], datetime] | None) -> None:
        self._facts = facts
        self._written_at = written_at
        self._process = _process_registry()

    def encode(self, accept: str) -> tuple[bytes, str]:
        """As `Exposition.encode`."""
        encode, content_type = _encoder(accept)
        process = encode(self._process).removesuffix(_END)
        written_at = None if self._written_at is None else self._written_at()
        return process + _encoded(of_role(self._facts(), written_at), encode), content_type


def _process_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


class _Given(Collector):
    """Families that are at hand."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _encoded(families: Iterable[Family], encode: _Encode) -> bytes:
    # The encoders ask for no more than `collect`, which spares a registry its check for names that clash.
    return encode(cast(CollectorRegistry, _Given(family for family in families if family.samples)))


def _encoder(accept: str) -> tuple[_Encode, str]:
    try:
        return choose_encoder(accept)
    except TypeError:  # raised over an Accept header whose version is no number
        return choose_encoder("")
