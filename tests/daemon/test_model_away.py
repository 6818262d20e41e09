"""When the model is away: fatal before it was ever loaded, waited for afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.devices import PlainDevices
from support.store_records import HOUR, NOON, batch, sampled

from riskmon.config_file import parse_config
from riskmon.daemon import device_jobs
from riskmon.daemon.device_jobs import DeviceJobs
from riskmon.daemon.ending import Ending
from riskmon.daemon.timetable import Timetable
from riskmon.daemon.turn import DEVICE, Turn
from riskmon.devices.base import WorkerInfo
from riskmon.errors import ModelUnavailable
from riskmon.scheduler import Scheduler
from riskmon.store import open_store

AWAY = ModelUnavailable("model.target: there is no folder /models/chat")


class Worker(PlainDevices):
    """A device worker that was lost whenever its model is away, and finds that out when it is started anew."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False

    def start(self, stop: Callable[[], bool]) -> WorkerInfo:
        if self.away:
            raise AWAY
        return WorkerInfo("cpu", ("regex",), {})

    def replan(self, *_: object) -> Any:
        return self.start(lambda: False)

    def close(self) -> None:
        """Nothing to end."""


class Daemon:
    """The timetable with a real scheduler and store; runs at once where a daemon would wait for half a minute."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(device_jobs, "_RELOAD_AFTER", timedelta(seconds=0.1))
        config = parse_config(
            {
                "model": {"target": "org/model"},
                "harms": [{"name": "misuse", "judge": {"kind": "regex", "pattern": "x"}}],
                "traffic": {"jsonl": "traffic.jsonl"},
            },
            base=folder,
        )
        self.failures: list[str] = []
        self.ending = Ending()
        self.worker = Worker()
        self.scheduler = Scheduler(self.failures.append, self.ending.begin_with)
        self.store = open_store(f"sqlite:///{folder}/risk.db")
        self.store.write_intake(batch([sampled(1, 0.5)]), keep=9, now=NOON)
        self.device = DeviceJobs(
            config,
            self.store,
            self.worker,  # type: ignore[arg-type]
            self.scheduler,
            Turn(self.store, DEVICE, lambda: NOON + HOUR / 2),
            self.ending,
            lambda: NOON + HOUR / 2,
            self.failures.append,
        )
        self.timetable = Timetable(self.scheduler, [self.device])

    def start(self) -> None:
        self.timetable.fill()
        self.scheduler.start()


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    made = Daemon(tmp_path, monkeypatch)
    yield made
    made.ending.begin()
    made.scheduler.stop()
    made.store.close()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_model_that_never_loaded_ends_the_daemon(daemon: Daemon) -> None:
    daemon.worker.away = True
    daemon.start()
    wait_until(daemon.ending.begun)
    assert daemon.ending.fault is AWAY
    assert daemon.failures == []


def test_a_model_that_goes_away_later_is_counted_and_waited_for(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.start()
    wait_until(lambda: daemon.device.model_loaded)
    daemon.worker.away = True
    daemon.scheduler.hasten("estimate")
    wait_until(lambda: daemon.failures.count("load") >= 3)  # the cycle's, and two that tried again
    assert not daemon.device.model_loaded
    assert (
        "the model did not load: model.target: there is no folder /models/chat; trying again" in caplog.text
    )
    assert not daemon.ending.begun()
    daemon.worker.away = False
    wait_until(lambda: daemon.device.model_loaded)
    assert not daemon.ending.begun()
    assert set(daemon.failures) == {"load"}
