from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apscheduler.triggers.cron import CronTrigger

from riskmon.config_file import load_config
from riskmon.demo.settings import REAL, TINY, Scale, cycle_schedule, write_settings

NOW = datetime(2026, 3, 5, 12, 34, 20, tzinfo=UTC)


@pytest.mark.parametrize("scale", [REAL, TINY], ids=["real", "tiny"])
def test_the_file_is_a_valid_configuration(tmp_path: Path, scale: Scale) -> None:
    file = write_settings(
        tmp_path,
        scale,
        model=tmp_path / "model",
        bootstrap="127.0.0.1:9092",
        listen="127.0.0.1:9108",
        now=NOW,
    )
    config = load_config(file)

    assert config.traffic is not None
    assert config.traffic.kafka is not None
    assert config.traffic.kafka.bootstrap_servers == ("127.0.0.1:9092",)
    assert config.traffic.strata == ("attributes.route",)
    assert [expert.kind for expert in config.experts] == ["system_prompt"]
    assert config.all_harms[0].budget_daily is not None
    assert config.report_folder == tmp_path / "reports"
    assert config.report.on_release
    assert config.store.url == f"sqlite:///{tmp_path}/riskmon.db"


def test_the_toy_needs_no_package_as_judge() -> None:
    assert TINY.harm["judge"]["kind"] == "regex"
    assert REAL.harm["judge"]["kind"] == "toxicity"


@pytest.mark.parametrize("minutes", [1, 5])
@pytest.mark.parametrize("minute", [0, 33, 34, 59])
def test_the_schedule_leaves_the_first_cycle_alone(minutes: int, minute: int) -> None:
    now = NOW.replace(minute=minute)
    trigger = CronTrigger.from_crontab(cycle_schedule(minutes, now), timezone=UTC)
    first = trigger.get_next_fire_time(None, now)
    second = trigger.get_next_fire_time(first, first + timedelta(seconds=1))

    assert timedelta(minutes=minutes - 1) < first - now <= timedelta(minutes=minutes)
    assert second - first == timedelta(minutes=minutes)


def test_a_cycle_ends_before_the_next_one_is_due() -> None:
    for scale in (REAL, TINY):
        assert scale.device_budget_s < scale.cycle_minutes * 60
