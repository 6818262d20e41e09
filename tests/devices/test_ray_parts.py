"""What of the Ray devices needs no Ray: who does further draws, whether plans agree, what actors are told."""

from __future__ import annotations

import dataclasses
import logging
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.ray_cluster import prompts
from support.store_records import success

from riskmon.config import Config, DevicesConfig
from riskmon.config_file import parse_config
from riskmon.devices.ray.actor import _Collected
from riskmon.devices.ray.agreement import agree
from riskmon.devices.ray.cluster import Resources
from riskmon.devices.ray.placing import for_an_actor, wanted
from riskmon.devices.ray.refinement import Refinement
from riskmon.errors import ClusterUnusable, ConfigError
from riskmon.records import Plan, PlanMember

# ---- further draws


def work(homes: dict[str, str], count: int, ahead: int = 100) -> tuple[Refinement[str], list[str]]:
    taken: list[str] = []

    def asked() -> Any:
        for number, prompt in enumerate(prompts(count)):
            taken.append(prompt.id)
            yield prompt, 10 + number

    return Refinement(asked(), lambda prompt: homes.get(prompt.id), ahead), taken


def test_further_draws_go_home_and_come_out_in_order() -> None:
    further, taken = work({"p0": "a", "p1": "b", "p2": "a", "p3": "gone?"}, 3)
    further.draw(["a", "b"])
    assert taken == ["p0", "p1"]  # there is something for both
    first, second, _ = prompts(3)
    assert further.take("a", 50) == ((first, 10),)
    assert further.take("b", 50) == ((second, 11),)
    assert sorted(further.busy) == ["a", "b"]
    result = success(second, "misuse")
    further.answer("b", 0, result)
    assert list(further.results()) == []  # it is not its turn
    further.answer("a", 0, None)
    assert list(further.results()) == [None, result]
    further.draw(["a", "b"])
    assert taken == ["p0", "p1", "p2"]
    assert not further.over
    further.lose("a")  # p2 waits for it
    assert list(further.results()) == [None]
    assert further.over
    assert not further.busy


def test_a_prompt_without_a_home_keeps_its_first_estimate() -> None:
    further, _ = work({}, 3)
    further.draw(["a"])
    assert list(further.results()) == [None, None, None]
    assert further.over


def test_no_more_is_taken_than_may_wait() -> None:
    """All are remembered by one actor; the other gets nothing, and the stream is not drunk up for its sake."""
    further, taken = work({prompt.id: "a" for prompt in prompts(50)}, 50, ahead=4)
    further.draw(["a", "b"])
    assert len(taken) == 4
    assert len(further.take("a", 15)) == 2  # 10 draws, and 11
    further.draw(["b"])
    assert len(taken) == 4


def test_what_an_actor_had_answered_stands_when_it_is_lost() -> None:
    further, _ = work({prompt.id: "a" for prompt in prompts(3)}, 3)
    further.draw(["a"])
    further.draw(["b"])
    assert len(further.take("a", 30)) == 3
    result = success(prompts(1)[0], "misuse")
    further.answer("a", 0, result)
    further.lose("a")
    assert list(further.results()) == [result, None, None]


# ---- plans


def plan(share: float, expert: str = "unsafe") -> Plan:
    members = (PlanMember("target", 1.0, 0, 16, 1 - share), PlanMember(expert, 1.0, 0, 16, share))
    return Plan(None, datetime(2026, 3, 14, tzinfo=UTC), members, 3, 2.5, 0.1, "chosen")


def test_plans_agree_up_to_rounding() -> None:
    one = (plan(0.25),)
    assert agree([one])
    assert agree([one, (plan(0.25 + 1e-9),), (dataclasses.replace(plan(0.25), gain_nats=0.2),)])
    assert not agree([one, (plan(0.26),)])
    assert not agree([one, (plan(0.25, "other"),)])
    assert not agree([one, (plan(0.25), plan(0.25))])


# ---- what there is, and what actors are told


def config(device: str = "auto", **devices: Any) -> Config:
    return parse_config(
        {
            "model": {"target": "org/model", "device": device},
            "harms": [
                {
                    "name": "misuse",
                    "judge": {
                        "kind": "openai",
                        "model": "m",
                        "rubric": "r",
                        "url": "https://judge.example/v1",
                        "api_key": "JUDGE-KEY",
                    },
                }
            ],
            "devices": {"kind": "ray", **devices},
            "traffic": {
                "kafka": {
                    "bootstrap_servers": ["broker:9092"],
                    "topic": "t",
                    "security": {"username": "u", "password": "KAFKA-PASSWORD"},
                },
                "responses": {"from_target": True},
                "sample_key": "SAMPLE-KEY",
            },
            "store": {"url": "postgresql+psycopg://u:STORE-PASSWORD@db/riskmon", "key": "STORE-KEY"},
        },
        base=Path("/"),
    )


@pytest.mark.parametrize(
    ("device", "actors", "resources", "expected"),
    [
        ("auto", "all", Resources(8, 2), (True, 8)),
        ("auto", "all", Resources(0, 3), (False, 3)),
        ("cpu", "all", Resources(8, 2), (False, 2)),
        ("auto", 4, Resources(8, 2), (True, 4)),
        ("cuda", 4, Resources(0, 1), (True, 4)),
    ],
)
def test_how_many_actors_and_on_what(
    device: str, actors: Any, resources: Resources, expected: tuple[bool, int]
) -> None:
    assert wanted(config(device, actors=actors), resources) == expected


def test_all_of_no_gpus_is_refused() -> None:
    with pytest.raises(ClusterUnusable, match="no GPU on 2 nodes"):
        wanted(config("cuda"), Resources(0, 2))


def test_an_actor_is_told_what_a_session_needs_and_no_other_secret() -> None:
    told = for_an_actor(config(), gpu=True)
    assert told.model.device == "cuda"
    assert told.responses_from_target
    packed = pickle.dumps(told)
    assert b"JUDGE-KEY" in packed
    for secret in (b"KAFKA-PASSWORD", b"SAMPLE-KEY", b"STORE-PASSWORD", b"STORE-KEY"):
        assert secret in pickle.dumps(config())
        assert secret not in packed


def test_lines_travel_as_text() -> None:
    kept, logger = _Collected(), logging.getLogger("riskmon.test_lines")
    logger.handlers[:], logger.propagate = [kept], False
    try:
        raise ValueError("SECRET")
    except ValueError:
        logger.warning("prompt %r left out", "p1", exc_info=True, extra={"prompt_id": "p1"})
    (line,) = pickle.loads(pickle.dumps(kept.take()))
    assert (line.getMessage(), line.prompt_id) == ("prompt 'p1' left out", "p1")
    assert line.exc_info is None
    assert kept.take() == ()


# ---- the section


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.1:6379", "head.ray.svc:6379", "[::1]:6379"])
def test_addresses(address: str) -> None:
    assert config(address=address).devices.address == address


@pytest.mark.parametrize(
    ("devices", "device", "message"),
    [
        ({"address": "ray://head:10001"}, "auto", r"devices\.address"),
        ({"actors": 0}, "auto", "at least 1"),
        ({"kind": "local", "actors": 2, "cpus": 4}, "auto", "only kind ray has actors, cpus"),
        ({}, "cuda:1", "a GPU of its own"),
    ],
)
def test_what_is_refused(devices: dict[str, Any], device: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(device, **devices)


def test_one_device_is_the_default() -> None:
    assert DevicesConfig().kind == "local"
