"""How far work is, as it is logged; and what Ctrl-C means while it runs."""

from __future__ import annotations

import os
import signal

import pytest

from riskmon.calibration.interrupt import asking_to_stop
from riskmon.progress import progress


def test_notes_and_tenths_are_logged_away_from_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with progress("fitting", 40) as report:
        for done in range(1, 41):
            report(done, "a look" if done == 7 else "")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:3] == ["fitting: 4 of 40", "fitting: 7 of 40 (a look)", "fitting: 8 of 40"]
    assert lines[-1] == "fitting: 40 of 40"
    assert len(lines) == 11


class Interrupted(BaseException):
    pass


def test_the_first_ctrl_c_asks_and_the_second_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with asking_to_stop() as stop:
            assert not stop()
            os.kill(os.getpid(), signal.SIGINT)
            assert stop()
            with pytest.raises(Interrupted):
                os.kill(os.getpid(), signal.SIGINT)
        with asking_to_stop() as stop:
            pass
        assert not stop()
        assert signal.getsignal(signal.SIGINT) is interrupt
    finally:
        signal.signal(signal.SIGINT, before)
