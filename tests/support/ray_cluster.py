"""Actors of a real Ray cluster of this machine, to be asked and killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from support.worlds import PROMPT

from riskmon.config import Config, DevicesConfig
from riskmon.devices.base import Loss
from riskmon.devices.ray.devices import RayDevices
from riskmon.devices.ray.member import Member, Task
from riskmon.records import Prompt


def on_ray(config: Config, **settings: object) -> Config:
    """The same configuration, on two actors of a cluster of its own."""
    ray = {"kind": "ray", "address": "local", "actors": 2, "start_timeout": "200s"}
    return config.model_copy(update={"devices": DevicesConfig.model_validate(ray | settings)})


@contextmanager
def actors(config: Config) -> Iterator[tuple[RayDevices, list[Loss]]]:
    """Started devices, and the losses they tell of."""
    losses: list[Loss] = []
    devices = RayDevices(config, losses.append)
    try:
        devices.start(never)
        yield devices, losses
    finally:
        devices.close()


def members(devices: RayDevices) -> list[Member]:
    return list(devices._crew._members.values())


def at_work(devices: RayDevices) -> list[Member]:
    """Those that somebody waits for."""
    return [member for member in members(devices) if member.task is Task.ASKED]


def kill(member: Member) -> None:
    os.kill(member.pid, signal.SIGKILL)


def kill_whoever_gets(devices: RayDevices, prompt_id: str) -> list[int]:
    """From now on every actor dies that is given a certain prompt; returns the list of those that did."""
    ask, killed = devices._crew.ask, []

    def ask_and_kill(member: Member, question: tuple[object, ...], expected: int) -> None:
        ask(member, question, expected)
        if question[0] == "estimate" and prompt_id in [prompt.id for prompt in question[1]]:
            kill(member)
            killed.append(member.number)

    devices._crew.ask = ask_and_kill  # type: ignore[method-assign]
    return killed


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"p{number}", PROMPT) for number in range(count)]


def never() -> bool:
    return False


def soon(seconds: float = 200.0) -> float:
    return time.monotonic() + seconds
