"""The gate: how often it looks, when it lets work rest for a look, what it says and what it does when blind."""

import logging
from datetime import timedelta

import pytest

from riskmon.config import SharingConfig
from riskmon.estimate.meter import Meter
from riskmon.estimate.sharing.gate import UtilizationGate
from riskmon.estimate.sharing.source import Unknowable

STILL_S = 1.5


class World:
    """A clock, and others who use the GPU from time to time; it can be read at work, or only at rest."""

    still_s = STILL_S

    def __init__(self, busy=(), at_work=True):
        self.now = 1000.0
        self.began = self.now
        self.busy = busy
        self.at_work = at_work
        self.broken = range(0)
        self.looks = []

    def others(self, rested):
        self.looks.append((self.now - self.began, rested))
        if int(self.now - self.began) in self.broken:
            raise Unknowable("the driver is away")
        if rested < STILL_S and not (self.at_work and rested == 0):
            return None
        return self.share()

    def share(self):
        passed = self.now - self.began
        return next((share for start, stop, share in self.busy if start <= passed < stop), 0.0)

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds


def meter_of(world, **settings):
    config = SharingConfig.model_validate(
        {"max_utilization": 0.3, "resume_below": 0.2, "smoothing": "1ms", **settings}
    )
    gate = UtilizationGate(config, world, lambda: world.now, world.sleep)
    return Meter(gate=gate, now=lambda: world.now)


def work(world, meter, seconds, step=0.01):
    with meter.working():
        until = world.now + seconds
        while world.now < until:
            meter.give_way()
            world.now += step


def test_it_looks_as_often_as_it_is_told():
    world = World()
    work(world, meter_of(world, check_every="2s"), 10)
    assert [round(at) for at, _ in world.looks] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("at_work", [True, False])
def test_work_rests_while_others_are_busy_and_the_clock_says_so(at_work, caplog):
    """Busy from second 100 to 130; where only a still device can be read, it is noticed up to half a minute late."""
    world = World([(100, 130, 0.8)], at_work)
    meter = meter_of(world)
    with caplog.at_level(logging.INFO):
        work(world, meter, 200)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "others use 80% of the GPU, more than estimate.sharing.max_utilization of 0.3" in said[0]
    assert "others use 0% of the GPU" in said[1]
    assert meter.seconds + meter.paused == pytest.approx(200, abs=0.05)
    if at_work:
        assert meter.paused == pytest.approx(30, abs=2 * STILL_S)
    else:
        assert 5 < meter.paused < 30 + 200 / 20


def test_looks_at_a_still_device_take_a_twentieth_of_the_time():
    world = World(at_work=False)
    meter = meter_of(world)
    work(world, meter, 600)
    assert 0.04 < meter.paused / 600 < 0.05


def test_a_pause_of_its_own_is_used_to_look():
    """Work that rests anyway, as for a judge elsewhere, is never stopped for a look."""
    world = World(at_work=False)
    meter = meter_of(world)
    for _ in range(100):
        work(world, meter, 3)
        world.now += 2 * STILL_S
    assert meter.paused == 0
    assert len([rested for _, rested in world.looks if rested >= STILL_S]) == 100


def test_no_work_begins_while_others_are_busy():
    world = World([(0, 20, 0.9)], at_work=False)
    meter = meter_of(world)
    work(world, meter, 1)
    assert meter.paused == pytest.approx(20, abs=1.1)
    assert meter.seconds == pytest.approx(1, abs=0.02)


def test_when_it_goes_blind_work_goes_on_with_one_warning(caplog):
    world = World([(0, 1000, 0.9)])
    meter = meter_of(world)
    world.broken = range(10, 60)
    work(world, meter, 50)
    assert meter.paused == pytest.approx(10, abs=STILL_S)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == ["estimation no longer rests for others on the GPU, since the driver is away"]
    world.busy = [(0, 100, 0.9)]
    work(world, meter, 5)
    assert meter.paused == pytest.approx(50, abs=2 * STILL_S)


def test_limits():
    assert SharingConfig(max_utilization=0.4).resume_at == pytest.approx(0.3)
    assert SharingConfig(max_utilization=0.4, resume_below=0.1).resume_at == 0.1
    assert SharingConfig(check_every=timedelta(seconds=3)).max_utilization is None
    with pytest.raises(ValueError, match="resume_below must not be above max_utilization"):
        SharingConfig(max_utilization=0.4, resume_below=0.5)
