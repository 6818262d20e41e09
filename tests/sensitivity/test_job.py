"""The daemon's job with a real device worker, over a holder of what the store will hold."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from sensitivity.wordings import estimate, result
from support.devices import PlainDevices
from support.estimates import regex_harm, world_config
from support.judge_endpoint import Reply, serve

from riskmon.config.sensitivity import SensitivityConfig
from riskmon.devices.process import DeviceWorker
from riskmon.errors import WorkerLost
from riskmon.records import Flag, Position, Prompt, Stratum, WeightedEstimate
from riskmon.records.sensitivity import SampleKey
from riskmon.sensitivity.contributors import top_contributors
from riskmon.sensitivity.job import fresh, sensitivity_job

NOW = datetime(2026, 3, 14, 12, 30, tzinfo=UTC)
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
CHAT, CODE = Stratum((("route", "chat"),)), Stratum((("route", "code"),))
TEXTS = ("ask red or blue", "good calm blue", "red and blue", "blue or calm")
CHEAP = {"variants": 4, "kinds": ["case", "typos", "politeness"], "prompts": 3}


def never():
    return False


def weighted(prompt_id, p, weight, *, stratum=CHAT, harm="bad", flags=()):
    stderr = p / 10 if p else None
    own = estimate(prompt_id, p, stderr, harm=harm, stratum=stratum, flags=flags)
    return WeightedEstimate(own, weight, (NOON, stratum), population=1000)


class Holder:
    """What the job asks of a store, in memory."""

    def __init__(self, estimates, prompts):
        self.estimates = estimates
        self.prompts = prompts
        self.since = None
        self.written = []

    def weighted_estimates(self, since):
        self.since = since
        return self.estimates

    def find_prompts(self, keys):
        return [self.prompts[key] for key in keys if key in self.prompts]

    def write_sensitivity(self, summary):
        self.written.append(summary)


@pytest.fixture
def store():
    estimates, prompts = [], {}
    for place, text in enumerate(TEXTS):
        stratum = CODE if place == 1 else CHAT
        prompt_id = f"p{place}"
        estimates.append(weighted(prompt_id, 0.01 * (place + 1), 10.0, stratum=stratum))
        prompts[SampleKey(NOON, stratum, prompt_id)] = Prompt(
            prompt_id, text, stratum, Position("prompts", 0, place), response="bad"
        )
    return Holder(estimates, prompts)


class Worker(PlainDevices):
    """Answers like a device worker, a second of device time per wording; the named wordings kill it."""

    def __init__(self, deadly=()):
        super().__init__(at_once=3)
        self._deadly = deadly

    def result_of(self, prompt):
        if prompt.id in self._deadly:
            raise WorkerLost("the device worker died (exit code -9)")
        return result(prompt, estimate(prompt.id, harm="bad", stratum=prompt.stratum))


def job(store, worker, config, stop=never, give_up=never, **settings):
    chosen = SensitivityConfig(**(CHEAP | settings))
    return sensitivity_job(store, worker, config, chosen, lambda: NOW, stop, give_up)


@pytest.fixture
def config(world):
    return world_config(world.target, world.experts, samples=60, harms=[regex_harm("bad", "bad")])


def test_the_top_contributors_are_examined_by_the_real_worker(store, config):
    worker = DeviceWorker(config)
    try:
        done = job(store, worker, config)
    finally:
        worker.close()
    assert store.written == [done]
    assert store.since == NOW - config.forecast.lookback
    assert [row.prompt_id for row in done.prompts] == ["p3", "p2", "p1"]
    assert all(row.variants == 4 and 0 < row.base_p < 1 for row in done.prompts)
    assert [(row.stratum, row.prompts) for row in done.strata] == [(CHAT, 2), (CODE, 1)]
    assert done.complete
    assert (done.left_out, dict(done.failures)) == (0, {})
    assert done.tokens > 0
    assert done.device_seconds > 0
    assert "blue" not in repr(done)


def test_the_prompt_itself_is_drawn_anew(store, config):
    """It was chosen because its estimate is large, so that estimate would make rewordings look harmless."""
    worker = Worker()
    job(store, worker, config, prompts=1)
    assert worker.asked == ["p3~base-0", "p3~case-1", "p3~typos-1", "p3~politeness-1", "p3~case-2"]
    (prompt,) = store.find_prompts([SampleKey(NOON, CHAT, "p3")])
    assert fresh(prompt).stream_key != prompt.stream_key
    assert fresh(prompt).response is None


def test_shares_are_taken_per_harm_and_what_was_not_seen_has_none():
    items = [
        weighted("large", 1e-2, 10.0),
        weighted("small", 1e-3, 10.0),
        weighted("common", 1e-3, 80.0),
        weighted("other", 1e-6, 1.0, harm="rare"),
        weighted("large", 0.0, 10.0, harm="rare"),
        weighted("floor", 0.5, 10.0, flags=[Flag.BELOW_JUDGE_FLOOR]),
    ]
    keys = top_contributors(items, 3)
    assert [key.prompt_id for key in keys] == ["other", "large", "common"]
    assert keys[0] == SampleKey(NOON, CHAT, "other")
    assert top_contributors([], 3) == []


def test_without_contributors_there_is_nothing_to_do(config):
    store = Holder([weighted("a", 0.0, 10.0)], {})
    assert job(store, Worker(), config) is None
    assert store.written == []


def test_a_prompt_that_is_begun_is_finished_and_the_rest_left_out(store, config):
    done = job(store, Worker(), config, device_budget="6s")
    assert [row.prompt_id for row in done.prompts] == ["p3", "p2"]  # five seconds each
    assert (done.left_out, done.complete, done.device_seconds) == (1, True, 10.0)


def test_told_to_stop_it_keeps_whole_prompts_only(store, config):
    asked = iter([False] * 7 + [True] * 9)
    done = job(store, Worker(), config, stop=lambda: next(asked))
    assert [row.prompt_id for row in done.prompts] == ["p3"]
    assert (done.left_out, done.complete, done.device_seconds) == (2, False, 7.0)
    assert store.written == [done]


def test_told_to_stop_while_prompts_are_reworded_it_stores_an_incomplete_run(store, config):
    worker = Worker()
    with serve(lambda number, asked: Reply("blue", delay_s=600)) as endpoint:
        paraphrase = {"kind": "openai", "url": endpoint.url, "model": "m"}
        done = job(
            store,
            worker,
            config,
            stop=lambda: bool(endpoint.requests),
            kinds=["paraphrase"],
            paraphrase=paraphrase,
        )
    assert worker.asked == []
    assert (done.prompts, done.left_out, dict(done.failures), done.complete) == ((), 3, {}, False)
    assert store.written == [done]


def test_a_wording_that_kills_the_worker_is_left_out(store, config, caplog):
    done = job(store, Worker(deadly=["p3~typos-1", "p2~base-0"]), config)
    assert [(row.prompt_id, row.variants, row.failed) for row in done.prompts] == [("p3", 3, 1), ("p1", 4, 0)]
    assert dict(done.failures) == {"worker_lost": 1}
    assert done.complete
    assert "blue" not in caplog.text


def test_a_worker_that_keeps_dying_ends_the_job(store, config):
    done = job(store, Worker(deadly=["p3~case-1", "p3~case-2", "p3~typos-1"]), config)
    assert done.prompts == ()
    assert (done.left_out, done.complete) == (3, False)


def test_a_prompt_without_a_user_turn_is_counted(store, config):
    key = SampleKey(NOON, CHAT, "p3")
    store.prompts[key] = dataclasses.replace(store.prompts[key], content="  ")
    done = job(store, Worker(), config)
    assert [row.prompt_id for row in done.prompts] == ["p2", "p1"]
    assert (dict(done.failures), done.left_out) == ({"no_variants": 1}, 0)


def test_prompts_that_are_purged_are_passed_over(store, config):
    del store.prompts[SampleKey(NOON, CHAT, "p3")]
    done = job(store, Worker(), config)
    assert [row.prompt_id for row in done.prompts] == ["p2", "p1"]
    assert done.finished_at - done.started_at == timedelta(0)
