"""The text of strata is kept between scrapes, and never outlives what it was made from."""

import dataclasses

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from support.snapshots import FACTS, FORECASTS, FULL, SENSITIVITY

from riskmon.publish import HarmFacts
from riskmon.publish.metrics import Exposition, build_registry

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text; version=1.0.0"
AGENTS = 'riskmon_forecast_daily_requests{harm="misuse",model="chat-v3",route="agents"}'


class Watched:
    """An exposition of whatever `snapshot` and `facts` are at the moment."""

    def __init__(self):
        self.snapshot, self.facts = FULL, FACTS
        self.exposition = Exposition(lambda: self.snapshot, lambda: self.facts)

    def lines(self, accept=TEXT):
        body, _ = self.exposition.encode(accept)
        return body.decode().splitlines()

    def value(self, series, accept=TEXT):
        (line,) = [line for line in self.lines(accept) if line.startswith(f"{series} ")]
        return float(line.rpartition(" ")[2])


@pytest.fixture
def watched():
    return Watched()


def test_it_is_what_the_library_makes_of_the_whole_registry(watched):
    whole = generate_latest(build_registry(lambda: FULL, lambda: FACTS)).decode().splitlines()
    assert len(whole) > 300
    for _ in range(2):

        def ours(lines):
            return sorted(line for line in lines if "riskmon_" in line)

        assert ours(watched.lines()) == ours(whole)


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_a_new_forecast_shows_at_the_next_scrape(watched, accept):
    assert watched.value(AGENTS, accept) == 96_400
    changed = tuple(
        dataclasses.replace(made, requests=made.requests + 1) if made.stratum is not None else made
        for made in FORECASTS
    )
    watched.snapshot = dataclasses.replace(FULL, forecasts=changed)
    assert watched.value(AGENTS, accept) == 96_401
    watched.snapshot = FULL
    assert watched.value(AGENTS, accept) == 96_400


def test_so_does_a_new_sensitivity_run_and_a_changed_configuration(watched):
    series = 'riskmon_sensitivity_log10_spread{harm="insult",model="chat-v3",route="chat"}'
    assert watched.value(series) == 0.13
    strata = tuple(dataclasses.replace(row, log10_spread=0.5) for row in SENSITIVITY.strata)
    watched.snapshot = dataclasses.replace(FULL, sensitivity=dataclasses.replace(SENSITIVITY, strata=strata))
    assert watched.value(series) == 0.5
    watched.facts = dataclasses.replace(FACTS, harms=(HarmFacts("insult", "toxicity", 3.0),))
    assert watched.value('riskmon_risk_budget_daily_harmful_outputs{harm="insult"}') == 3
    assert not [
        line for line in watched.lines() if line.startswith("riskmon_forecast") and 'harm="misuse"' in line
    ]


def test_what_is_not_by_stratum_is_new_at_every_scrape(watched):
    watched.lines()
    counters = dataclasses.replace(FULL.counters, consumed=8_731_403)
    watched.snapshot = dataclasses.replace(FULL, counters=counters)
    assert watched.value("riskmon_prompts_consumed_total") == 8_731_403
    watched.snapshot = None
    assert watched.value("riskmon_store_up") == 0
    assert not [line for line in watched.lines() if line.startswith("riskmon_forecast")]


def test_openmetrics_ends_once_and_many_versions_of_it_do_not_confuse(watched):
    for minor in range(12):
        body, content_type = watched.exposition.encode(f"application/openmetrics-text; version=1.{minor}.0")
        assert f"version=1.{minor}.0" in content_type
        assert body.count(b"# EOF") == 1
        names = [family.name for family in parse_openmetrics(body.decode())]
        assert len(names) == len(set(names)) > 60
