"""What begins the end of the daemon, and what remains of it: the first fault and the exit code."""

from __future__ import annotations

import os
import signal

import pytest

from riskmon.daemon.ending import Ending, exit_code
from riskmon.errors import ConfigError


def test_nothing_ends_by_itself() -> None:
    ending = Ending()
    assert not ending.begun()
    assert not ending.out_of_patience()
    assert ending.fault is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_begins_the_end_and_the_handlers_come_back(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    ending = Ending()
    with ending.signals() as caught:
        os.kill(os.getpid(), number)
        assert ending.begun()
    assert caught == {number}
    assert exit_code(caught) == code
    assert signal.getsignal(number) is before


def test_the_first_fault_counts() -> None:
    ending = Ending()
    first = ConfigError("first")
    ending.begin_with(first)
    ending.begin_with(ConfigError("second"))
    assert ending.begun()
    assert ending.fault is first


def test_the_prompt_under_way_gets_time_from_the_first_word_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("riskmon.daemon.ending.time.monotonic", lambda: clock[0])
    ending = Ending()
    ending.begin()
    clock[0] = 103.9
    assert not ending.out_of_patience()
    ending.begin()
    clock[0] = 104.1
    assert ending.out_of_patience()
