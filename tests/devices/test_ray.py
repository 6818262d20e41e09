"""Two actors of a real Ray cluster: they estimate as one process does, and one that is killed changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from support.estimates import world_config
from support.ray_cluster import actors, at_work, kill, members, never, on_ray, prompts, soon
from support.worlds import PROMPT

from riskmon.devices.base import Loss
from riskmon.estimate.opening import open_session
from riskmon.records import Prompt

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def config(world):
    return world_config(world.target, world.experts, pilot_share=0.25)


@pytest.fixture(scope="module")
def alone(config):
    """Results by prompt id, each made alone in one process; the first ten have further draws as well."""
    session = open_session(config)
    first = {prompt.id: session.estimate(prompt, keep=True) for prompt in prompts(40)}
    further = [session.refine(prompt, 50) for prompt in prompts(10)]
    return first, further


@pytest.fixture(scope="module")
def started(config):
    with actors(on_ray(config)) as (devices, losses):
        yield devices, losses


def same(result, other):
    assert [e.hits for e in result.estimates] == [e.hits for e in other.estimates]
    assert [e.tokens for e in result.estimates] == [e.tokens for e in other.estimates]
    assert [hit.tokens for hit in result.hits] == [hit.tokens for hit in other.hits]
    # Another batch adds up floats in another order.
    for one, two in zip(result.estimates, other.estimates, strict=True):
        assert one.p == pytest.approx(two.p, rel=2e-5, abs=1e-9)


def test_they_estimate_refine_and_observe_as_one_process_does(started, alone):
    devices, losses = started
    first, further = alone
    plans = devices.replan([], NOW, soon(), never)
    assert [plan.reason for plan in plans] == ["no hits yet: every voice in every configured window"]
    results = list(devices.estimate(iter(prompts(40)), soon(), never))
    assert sorted(result.prompt.id for result in results) == sorted(first)
    for result in results:
        same(result, first[result.prompt.id])
    assert len(set(devices._homes.values())) == 2  # both had a part in it
    refined = list(devices.refine([(prompt, 50) for prompt in prompts(10)], soon(), never))
    for result, other in zip(refined, further, strict=True):
        assert result.estimates[0].n == 250
        same(result, other)
    seen = devices.observe(Prompt("seen", PROMPT, response="bad"), soon(), never)
    assert seen.prompt.id == "seen"
    assert not losses
    spent = sum(result.estimates[0].device_seconds for result in results)
    assert devices.device_seconds > spent > 0


@pytest.mark.slow
def test_one_that_is_killed_half_way_is_replaced_and_its_prompts_go_again(started, alone):
    """After plans were chosen from hits, so that the replacement has something to catch up with."""
    devices, losses = started
    hits = [hit for result in alone[0].values() for hit in result.hits]
    session = open_session(devices._crew._config)
    chosen = devices.replan(hits, NOW, soon(), never)
    assert [p.members for p in chosen] == [p.members for p in session.replan(hits, NOW)]
    expected = {prompt.id: session.estimate(prompt, keep=True) for prompt in prompts(40)}
    results = []
    for result in devices.estimate(iter(prompts(40)), soon(), never):
        results.append(result)
        if len(results) == 12:
            killed = at_work(devices)[0]
            kill(killed)
    assert losses == [Loss.DIED]
    assert sorted(result.prompt.id for result in results) == sorted(expected)  # all, and none twice
    for result in results:
        same(result, expected[result.prompt.id])
    # What the dead one remembered is gone: those prompts keep their first estimates.
    homes = [devices._homes[prompt.stream_key] for prompt in prompts(40)]
    refined = devices.refine([(prompt, 50) for prompt in prompts(40)], soon(), never)
    assert [result is None for result in refined] == [home == killed.number for home in homes]
    assert killed.number in homes
    # The replacement takes part once it is up, and draws from the same plans.
    while len(devices._crew.idle) < 2:
        devices._crew.next(soon(), never)
    again = list(devices.estimate(iter(prompts(40)), soon(), never))
    assert {devices._homes[r.prompt.stream_key] for r in again} == {m.number for m in members(devices)}
    for result in again:
        same(result, expected[result.prompt.id])
    assert losses == [Loss.DIED]


def test_nothing_of_ray_holds_a_prompt_or_listens_beyond_this_machine(started, capfd):
    devices, _ = started
    secret = "GEHEIMNIS"
    asked = [Prompt("s1", PROMPT + " " + secret), Prompt("s2", (PROMPT + " ") * 500 + secret)]
    results = {result.prompt.id: result for result in devices.estimate(iter(asked), soon(), never)}
    assert results["s2"].failure == "too_long"  # and the actor logs that
    link = devices._crew._link
    tree = psutil.Process(link._process.pid)
    processes = [tree, *tree.children(recursive=True)]
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in processes
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    assert not any(secret in " ".join(process.cmdline()) for process in processes)
    files = [file for file in Path(link._folder.name).rglob("*") if file.is_file()]
    assert len(files) > 10
    assert not any(secret.encode() in file.read_bytes() for file in files)
    assert Path(link._folder.name).stat().st_mode & 0o077 == 0
    written = capfd.readouterr()
    assert secret not in written.err + written.out
