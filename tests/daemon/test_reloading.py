"""What SIGHUP does to the configuration in force, and what a bad file does not."""

from __future__ import annotations

import logging
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from riskmon.config import Config
from riskmon.config_file import load_config
from riskmon.daemon.reloading import Reloading

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class World:
    """A file, a clock that goes an hour a look, and what was taken over."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.write()
        self.now = START
        self.taken: list[Config] = []
        self.reloading = Reloading(load_config(file), self._reread, lambda: self.now)

    def write(self, level: str = "info", listen: str = "127.0.0.1:9108") -> None:
        self.file.write_text(
            "model: {target: org/model}\njudge: {kind: regex, pattern: x}\n"
            f"logging: {{level: {level}}}\npublish: {{listen: '{listen}'}}\n"
        )

    def _reread(self) -> Config:
        return load_config(self.file)

    def hang_up(self) -> None:
        """Send the signal to this process, and look."""
        self.now += timedelta(hours=1)
        with self.reloading.signals():
            os.kill(os.getpid(), signal.SIGHUP)
            self.reloading.look(self.taken.append)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "riskmon.yaml")


def test_without_a_signal_nothing_is_read(world: World) -> None:
    world.write(level="debug")
    world.reloading.look(world.taken.append)
    assert world.taken == []
    assert world.reloading.state.loaded_at == START


def test_a_change_is_taken_over_once(world: World) -> None:
    world.write(level="debug")
    world.hang_up()
    world.reloading.look(world.taken.append)
    assert [config.logging.level for config in world.taken] == ["debug"]
    assert world.reloading.config == world.taken[0]
    assert world.reloading.state.loaded_at == START + timedelta(hours=1)
    assert not world.reloading.terminal_closed


def test_what_waits_is_named_until_the_file_agrees_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.write(listen="0.0.0.0:9108")
    world.hang_up()
    assert world.taken == []
    assert world.reloading.config.publish.listen == "127.0.0.1:9108"
    assert world.reloading.state.pending == ("publish.listen",)
    assert "needs a restart: publish.listen" in caplog.text
    world.write()
    world.hang_up()
    assert world.reloading.state.pending == ()


@pytest.mark.parametrize("text", ["model: {target: [}", "modell: {}", "", "\0", "model: &a [*a]"])
def test_a_bad_file_changes_nothing_and_is_one_error(
    world: World, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = world.reloading.config
    world.file.write_text(text)
    world.hang_up()
    assert world.taken == []
    assert world.reloading.config is before
    assert world.reloading.state.refused
    assert world.reloading.state.loaded_at == START
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message.startswith("the configuration was not reloaded, and the one before holds: ")
    world.write()
    world.hang_up()
    assert not world.reloading.state.refused


def test_a_file_that_is_gone_is_a_bad_file(world: World) -> None:
    world.file.unlink()
    world.hang_up()
    assert world.reloading.state.refused


def test_the_handler_comes_back(world: World) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with world.reloading.signals():
        assert signal.getsignal(signal.SIGHUP) is not before
    assert signal.getsignal(signal.SIGHUP) is before
