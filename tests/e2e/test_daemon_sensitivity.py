"""The daemon's sensitivity job on a real broker: what it stores and publishes, its faults, and its end."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from support.daemon import running, write_config
from support.daemon_traffic import kafka_traffic, messages
from support.prometheus import lint_metrics

from riskmon.records.sensitivity import SensitivitySummary
from riskmon.store import open_store

TWO_DAYS_AGO = datetime.now(UTC) - timedelta(days=2)
# With this in the store a sensitivity run is overdue, and is caught up after the first cycle.
OLD_RUN = SensitivitySummary(TWO_DAYS_AGO, TWO_DAYS_AGO, (), (), {}, 0, 0, 0.0, complete=True)


@pytest.mark.slow
def test_the_sensitivity_job_fills_the_store_and_the_metrics(kafka_broker, world, tmp_path):
    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, messages(100, datetime.now(UTC))[0])
    config = write_config(
        tmp_path,
        world.target,
        sensitivity={"variants": 4, "prompts": 2, "kinds": ["case", "typos", "politeness"]},
        traffic=kafka_traffic(kafka_broker, topic, sample_per_window=2),
    )
    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        store.write_sensitivity(OLD_RUN)
        daemon.wait_until(lambda: store.last_sensitivity() != OLD_RUN, "there is a run")
        done = store.last_sensitivity()
        assert "a sensitivity run is overdue and starts now" in daemon.log
        sampled = {item.prompt.id: item.prompt.stratum for item in store.sampled_prompts(OLD_RUN.started_at)}
        assert len(done.prompts) == 2
        assert all(sampled[row.prompt_id] == row.stratum and row.variants == 4 for row in done.prompts)
        assert sum(row.prompts for row in done.strata) == 2

        success = "riskmon_sensitivity_last_success_timestamp_seconds"
        daemon.wait_until(
            lambda: daemon.metric(success) == pytest.approx(done.finished_at.timestamp()), "it is published"
        )
        for row in done.strata:
            labels = f'{{harm="bad",route="{row.stratum.as_dict()["route"]}"}}'
            assert daemon.metric(f"riskmon_sensitivity_worst_amplification{labels}") == row.worst
            assert daemon.metric(f"riskmon_sensitivity_worst_amplification_lower{labels}") == row.worst_low
            assert daemon.metric(f"riskmon_sensitivity_worst_amplification_upper{labels}") == row.worst_high
            assert daemon.metric(f"riskmon_sensitivity_log10_spread{labels}") == row.log10_spread
        assert daemon.metric('riskmon_job_failures_total{task="sensitivity"}') == 0
        assert lint_metrics(daemon.get("/metrics").text) == ""
        assert daemon.end() == 0
    assert "ask red" not in daemon.log


def test_a_fault_of_the_sensitivity_job_is_counted_and_does_not_end_the_daemon(kafka_broker, world, tmp_path):
    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, messages(100, datetime.now(UTC))[0])
    config = write_config(
        tmp_path,
        world.target,
        sensitivity={"politeness": "missing.yaml"},
        traffic=kafka_traffic(kafka_broker, topic, sample_per_window=1),
    )
    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        store.write_sensitivity(OLD_RUN)
        failed = 'riskmon_job_failures_total{task="sensitivity"}'
        daemon.wait_until(lambda: daemon.metric(failed) == 1, "the fault is counted")
        assert re.search(r"sensitivity failed: .*missing\.yaml", daemon.log)
        assert daemon.get("/healthz").status_code == 200
        assert daemon.end() == 0


@pytest.mark.slow
def test_sigterm_ends_a_sensitivity_run(kafka_broker, world, tmp_path):
    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, messages(100, datetime.now(UTC))[0])
    config = write_config(
        tmp_path,
        world.target,
        estimate={"samples_per_prompt": 500, "defensive_share": 0.25},
        traffic=kafka_traffic(kafka_broker, topic, sample_per_window=1),
    )
    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        store.write_sensitivity(OLD_RUN)
        daemon.wait_until(lambda: "sensitivity: rewording" in daemon.log, "a run is under way")
        assert daemon.end() == 0
        assert "sensitivity: 0 prompts examined, 0 failed, 5 left out" in daemon.log
        assert store.last_sensitivity() == OLD_RUN  # what was broken off is not shown
