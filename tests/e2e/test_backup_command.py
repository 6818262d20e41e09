"""`riskmon backup`, the documented steps of a restore, and a store that a newer riskmon has written."""

import json
import sqlite3
import stat
from datetime import UTC, datetime

import pytest
from support.daemon import run, write_config

from riskmon.config_file import load_config
from riskmon.jobs import preview_forecast
from riskmon.store import open_store


@pytest.fixture
def config(world, tmp_path):
    now = datetime.now(UTC).timestamp()
    lines = [
        {"id": f"r{i}", "prompt": ["ask red or blue", "good calm red"][i % 2], "timestamp": now - 60 - i}
        for i in range(40)
    ]
    (tmp_path / "traffic.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return write_config(tmp_path, world.target, traffic={"jsonl": "traffic.jsonl", "sample_per_window": 3})


def forecast_of(file, config, now):
    with open_store(f"sqlite:///{file}") as store:
        return preview_forecast(store, load_config(config), "forecast", now), store.counters()


@pytest.mark.slow
def test_a_backup_is_restored_and_forecasts_the_same(config, tmp_path):
    done = run("run", "-c", str(config), "--once")
    assert done.returncode == 0, done.stderr
    database, copy = tmp_path / "riskmon.db", tmp_path / "backups" / "copy.db"
    copy.parent.mkdir()

    done = run("backup", "-c", str(config), "--out", str(copy))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{copy}: ")
    assert "schema 0" in done.stdout
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    now = datetime.now(UTC)
    made, counters = forecast_of(database, config, now)
    assert made
    assert made[0].expected > 0
    assert counters.consumed == 40

    again = run("backup", "-c", str(config), "--out", str(copy))
    assert again.returncode == 2
    assert "exists and is not overwritten" in again.stderr
    assert "Traceback" not in again.stderr

    # The store is lost; the steps of docs/operations.md, with the key that was kept apart.
    key = (tmp_path / "riskmon.db.key").rename(tmp_path / "kept.key")
    for file in tmp_path.glob("riskmon.db*"):
        file.unlink()
    copy.rename(database)
    done = run("forecast", "-c", str(config))
    assert done.returncode == 2, done.stderr
    assert "there is no key file" in done.stderr
    key.rename(tmp_path / "riskmon.db.key")
    assert forecast_of(database, config, now) == (made, counters)
    shown = run("forecast", "-c", str(config), "--json")
    assert shown.returncode == 0, shown.stderr
    assert [json.loads(line)["harm"] for line in shown.stdout.splitlines()][-1] == "bad"
    # Reading goes on at the offsets of the backup: nothing is counted twice.
    done = run("run", "-c", str(config), "--once")
    assert done.returncode == 0, done.stderr
    assert forecast_of(database, config, now)[1].consumed == 40


def test_an_older_riskmon_says_what_to_do_about_a_newer_store(config, tmp_path):
    open_store(f"sqlite:///{tmp_path}/riskmon.db").close()
    with sqlite3.connect(tmp_path / "riskmon.db") as database:
        database.execute("UPDATE riskmon_schema SET version_num = '9999'")
    done = run("forecast", "-c", str(config))
    assert done.returncode == 1
    (sentence,) = done.stderr.strip().splitlines()
    assert "has schema '9999', newer than" in sentence
    assert "upgrade riskmon, restore the backup made before the upgrade, or give store.url" in sentence
    # What cannot be opened can still be saved.
    done = run("backup", "-c", str(config), "--out", str(tmp_path / "copy.db"))
    assert done.returncode == 0, done.stderr
    assert "schema 9999" in done.stdout
