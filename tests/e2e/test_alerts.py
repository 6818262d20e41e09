"""From a store over the metrics, Prometheus and Alertmanager to a webhook: who is told what, with real servers.

The stage before, drawing answers from a model, is left out: estimates are written through the store's own functions,
and the real forecast is made from them. The metrics change and the rules stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.alertmanager import StartAlertmanager
from support.http_sink import Sink, sink
from support.prometheus import StartPrometheus
from support.store_records import CHAT, HOUR, counted, sampled

from riskmon import jobs
from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.estimate.cycle import summarize_cycle
from riskmon.publish import Facts, Server, build_app
from riskmon.publish.rules import render_rules
from riskmon.records import Estimate, Flag, PromptResult, SampledPrompt, Snapshot, Stratum, TrafficStatus
from riskmon.store import Store, open_store

AGENTS = Stratum((("route", "agents"),))
REQUESTS = {CHAT: 1_000, AGENTS: 200}
CALM = {CHAT: 1e-3, AGENTS: 1e-3}
RISKY = {CHAT: 1e-3, AGENTS: 20e-3}
HOURS = 24
WITHIN_S = 40.0


def settings(folder: Path) -> Config:
    """One harm in two strata; alerts that need not last, and a trailing level of a minute."""
    return parse_config(
        {
            "model": {"target": "org/model"},
            "harms": [{"name": "misuse", "judge": {"kind": "regex", "pattern": "x"}}],
            "traffic": {"jsonl": "traffic.jsonl", "strata": ["attributes.route"], "window": "1h"},
            "forecast": {"draws": 400},
            "rules": {"sustained": "1s", "health_for": "1s", "trailing_window": "60s"},
        },
        base=folder,
    )


class Deployment:
    """A store that lives: every cycle draws more for each prompt, and finds what it is told to find."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store, self.config = store, config
        self._draws = 0
        self._first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOURS * HOUR
        self._prompts: list[SampledPrompt] = []
        for hour in range(HOURS):
            for stratum, requests in REQUESTS.items():
                self._prompts += self._count(hour, stratum, requests, samples=2)

    def more_requests(self, times: int) -> None:
        """Every hour of the past had more requests than was known; so the next ones will."""
        for hour in range(HOURS):
            for stratum, requests in REQUESTS.items():
                self._count(hour, stratum, (times - 1) * requests, samples=0)
        self._forecast()

    def cycle(self, p: dict[Stratum, float], *flags: Flag) -> None:
        """Estimate all prompts anew with these probabilities, and forecast."""
        self._draws += 1_000
        now = datetime.now(UTC)
        cycle = self.store.begin_cycle(now)
        results = [self._result(item, p[item.prompt.stratum], flags) for item in self._prompts]
        for result in results:
            self.store.refine_result(cycle, result, now)
        summary = summarize_cycle(
            results,
            ["misuse"],
            asked=len(results),
            device_seconds=1.0,
            started_at=now,
            finished_at=now,
            complete=True,
        )
        self.store.finish_cycle(cycle, summary)
        self._forecast()

    def _forecast(self) -> None:
        assert jobs.forecast(self.store, self.config, "run", datetime.now(UTC))

    def _count(self, hour: int, stratum: Stratum, requests: int, *, samples: int) -> list[SampledPrompt]:
        window = self._first + hour * HOUR
        partition = len(self.store.next_offsets("prompts"))  # every count is read from one of its own
        found = [
            sampled(i, 0.25 * (i + 1), partition=partition, window=window, stratum=stratum)
            for i in range(samples)
        ]
        batch = counted(
            requests, end=requests, sample=found, partition=partition, window=window, stratum=stratum
        )
        self.store.write_intake(batch, keep=2, now=datetime.now(UTC))
        return found

    def _result(self, item: SampledPrompt, p: float, flags: tuple[Flag, ...]) -> PromptResult:
        estimate = Estimate(
            prompt_id=item.prompt.id,
            harm="misuse",
            stratum=item.prompt.stratum,
            p=p,
            stderr=0.05 * p,
            ci_low=0.9 * p,
            ci_high=1.1 * p,
            upper_bound=2 * p,
            n=self._draws,
            hits=400,
            ess=0.4 * self._draws,
            khat=0.3,
            weight_mean=1.0,
            flags=flags,
            tokens=24 * self._draws,
            device_seconds=1e-3 * self._draws,
            weight_z=0.1,
            target_draws=self._draws // 10,
        )
        return PromptResult(item.prompt, (estimate,))


class Inbox:
    """What a receiver was told."""

    def __init__(self, seen: Sink) -> None:
        self._seen = seen

    def told(self, status: str, **labels: str) -> list[dict[str, Any]]:
        """Alerts of a status whose labels hold these."""
        return [
            alert
            for _, _, body in list(self._seen.requests)
            for alert in body["alerts"]
            if alert["status"] == status and labels.items() <= alert["labels"].items()
        ]

    def last_status(self, **labels: str) -> str:
        """What was said last of an alert; empty where nothing was."""
        said = [
            alert["status"]
            for _, _, body in list(self._seen.requests)
            for alert in body["alerts"]
            if labels.items() <= alert["labels"].items()
        ]
        return said[-1] if said else ""


def wait_until(holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {WITHIN_S:g} s: {what}")


@contextmanager
def serving(store: Store, config: Config) -> Iterator[str]:
    """The real exposition of the store, to which an intake writes all the while."""

    def read() -> Snapshot:
        now = datetime.now(UTC)
        store.write_traffic_status(TrafficStatus(up=True, lag_messages=0, at=now))
        return store.snapshot(now)

    facts = Facts.from_config(config, version="0.1.0")
    app = build_app(read, lambda: facts, lambda: {"publish": True}, list)
    with Server(app, "127.0.0.1:0") as server:
        host, port = server.address
        yield f"{host}:{port}"


@pytest.mark.slow
def test_a_spike_pages_volume_does_not_and_an_unhealthy_estimator_keeps_the_pager_quiet(
    tmp_path: Path, prometheus: StartPrometheus, alertmanager: StartAlertmanager
) -> None:
    config = settings(tmp_path)
    spike = {"alertname": "RiskmonRiskSpike", "job": "riskmon", "harm": "misuse"}
    with (
        sink() as pages,
        sink() as tickets,
        open_store(f"sqlite:///{tmp_path / 'riskmon.db'}") as store,
        serving(store, config) as address,
    ):
        pager, desk = Inbox(pages), Inbox(tickets)
        deployment = Deployment(store, config)
        deployment.cycle(CALM)
        told = alertmanager({"pager": pages.url, "tickets": tickets.url})
        watcher = prometheus(address, render_rules(config), told.address)

        # A level to compare with: half a minute of calm.
        level = "count_over_time(riskmon_total_harm_probability[60s]) >= 25"
        wait_until(lambda: watcher.query(level), "there is a trailing level")
        assert watcher.query('ALERTS{alertname=~"Riskmon.+"}') == []

        # One stratum of two is answered twenty times as harmfully.
        deployment.cycle(RISKY)
        page = wait_until(lambda: pager.told("firing", **spike), "the spike pages")[0]
        assert page["labels"] == spike | {"driver": "p", "severity": "page", "instance": address}
        assert "answered more harmfully" in page["annotations"]["description"]
        assert "unknown" not in page["annotations"]["description"]
        assert page["annotations"]["runbook_url"].endswith("/RiskmonRiskSpike.md")
        # Pending at one evaluation, or two where they came a little early, then firing.
        waited = (
            'count_over_time(ALERTS{alertname="RiskmonRiskSpike",severity="page",alertstate="pending"}[1m])'
        )
        assert [int(row["value"][1]) <= 2 for row in watcher.query(waited)] == [True]
        wait_until(lambda: desk.told("firing", **spike, driver="p"), "the ticket comes beside it")
        stratum = wait_until(
            lambda: desk.told("firing", alertname="RiskmonStratumRiskSpike"), "the stratum is named"
        )
        assert {alert["labels"]["route"] for alert in stratum} == {"agents"}
        assert "in the stratum route=agents. On" in stratum[0]["annotations"]["description"]

        # Recovery resolves both.
        deployment.cycle(CALM)
        wait_until(lambda: pager.last_status(**spike) == "resolved", "the page is resolved")
        wait_until(lambda: desk.last_status(**spike) == "resolved", "the ticket is resolved")

        # An estimator that is not to be trusted says so itself, and the same spike then is a ticket and no page.
        paged = len(pager.told("firing"))
        deployment.cycle(CALM, Flag.HEAVY_WEIGHTS)
        unhealthy = {"alertname": "RiskmonEstimatorUnhealthy", "harm": "misuse", "flag": "HEAVY_WEIGHTS"}
        wait_until(lambda: desk.told("firing", **unhealthy, severity="ticket"), "the estimator is reported")
        deployment.cycle(RISKY, Flag.HEAVY_WEIGHTS)
        quiet = wait_until(lambda: told.alerts(**spike, severity="page"), "the page reaches Alertmanager")
        assert quiet[0]["status"]["inhibitedBy"]
        wait_until(lambda: desk.last_status(**spike) == "firing", "the ticket comes all the same")
        assert len(pager.told("firing")) == paged
        deployment.cycle(CALM)
        wait_until(lambda: desk.last_status(**unhealthy) == "resolved", "the estimator is well again")
        wait_until(lambda: desk.last_status(**spike) == "resolved", "the spike is over")
        assert len(pager.told("firing")) == paged

        # Five times the requests, answered as before, are a ticket that says so.
        deployment.more_requests(5)
        wait_until(lambda: desk.told("firing", **spike, driver="volume", severity="ticket"), "more requests")
        assert told.alerts(**spike, severity="page") == []
        assert len(pager.told("firing")) == paged
