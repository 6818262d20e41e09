"""One estimate cycle over a real store; the worker stands in only for faults that cannot be provoked in a real one."""

from __future__ import annotations

import dataclasses
import logging
import time
from datetime import timedelta

import pytest
from support.devices import PlainDevices
from support.store_records import HOUR, NOON, batch, observation, sampled, success

from riskmon.config_file import parse_config
from riskmon.cycles import estimate_cycle
from riskmon.errors import WorkerLost
from riskmon.records import Plan, PlanMember, PromptResult
from riskmon.records.observed import Observation
from riskmon.store import open_store


class Worker(PlainDevices):
    """Answers like a device worker whose estimates take a second of device time for each draw-hundred."""

    def __init__(self, *, plan=None, refine=None, observe=None, at_once=1):
        super().__init__(at_once)
        self.plan = plan
        self.refined = []
        self.observed = []
        self._refine = refine
        self._observe = observe

    def replan(self, hits, now, deadline, stop):
        if self.plan is None:
            raise WorkerLost("ValueError")
        return (self.plan,)

    def result_of(self, prompt):
        return with_draws(prompt, 500, 5.0)

    def observe(self, prompt, deadline, stop):
        self.observed.append(prompt.id)
        if self._observe == "lost":
            raise WorkerLost("the device worker died (exit code -9)")
        return observation(prompt, misuse=True)

    def refine(self, prompts, deadline, stop):
        for prompt, samples in prompts:
            self.refined.append((prompt.id, samples))
            if self._refine == "lost":
                raise WorkerLost("the device worker died (exit code -9)")
            result = with_draws(prompt, 500 + samples, 5.0 + samples / 100)
            self.work(result, less=5.0)
            yield result


def with_draws(prompt, n, seconds):
    result = success(prompt, "misuse")
    estimate = dataclasses.replace(
        result.estimates[0], n=n, target_draws=n // 10, device_seconds=seconds, tokens=100 * n
    )
    return dataclasses.replace(result, estimates=(estimate,), spread=((0.01, 1e-3),))


PLAN = Plan(None, NOON, (PlanMember("target", 1.0, 0, 16, 1.0),), 0, 0.0, None, "no hits yet")


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        opened.write_intake(batch(sampled(i, (i + 1) / 10) for i in range(3)), keep=9, now=NOON)
        yield opened


def settings(tmp_path, **estimate):
    return parse_config(
        {
            "model": {"target": "org/model"},
            "experts": [{"name": "rude", "kind": "system_prompt", "text": "x"}],
            "harms": [{"name": "misuse", "judge": {"kind": "regex", "pattern": "x"}}],
            "estimate": {"device_budget": "1m", "refine_share": 0.5, **estimate},
            "traffic": {"jsonl": "traffic.jsonl"},
        },
        base=tmp_path,
    )


def cycle(store, worker, config, stop=lambda: False):
    return estimate_cycle(store, worker, config, lambda: NOON + HOUR / 2, stop, lambda: False)


def test_a_fault_in_the_choice_of_plans_does_not_end_the_cycle(store, tmp_path, caplog):
    done = cycle(store, Worker(), settings(tmp_path))
    assert done is not None
    assert (done.prompts, done.complete) == (3, True)
    assert store.plans() == []
    assert "the first plan is used" in caplog.text


def test_what_the_budget_has_left_goes_to_further_draws_and_replaces_the_first_estimates(store, tmp_path):
    worker = Worker(plan=PLAN)
    done = cycle(store, worker, settings(tmp_path))
    assert done is not None
    assert store.plans() == [PLAN]
    assert len(worker.refined) == 3
    assert sum(samples for _, samples in worker.refined) / 100 == pytest.approx(60 - 15, abs=3)
    stored = [item.estimate for item in store.weighted_estimates(NOON)]
    assert sorted(estimate.n for estimate in stored) == sorted(500 + samples for _, samples in worker.refined)
    assert store.counters().estimated_prompts == 3
    assert store.counters().estimate_device_seconds == pytest.approx(done.device_seconds)


def test_rests_for_others_take_nothing_of_the_budget_and_are_counted_as_they_come(store, tmp_path, caplog):
    seen = []

    class Resting(Worker):
        def result_of(self, prompt):
            seen.append(store.counters().estimate_paused_seconds)
            self.paused_seconds += 50.0
            return super().result_of(prompt)

    worker = Resting(plan=PLAN)
    worker.paused_seconds = 7.0  # of an earlier cycle, and counted then
    with caplog.at_level(logging.INFO):
        done = cycle(store, worker, settings(tmp_path, device_budget="16s", refine_share=0))
    assert done is not None
    assert (done.prompts, done.left_out) == (3, 0)
    assert done.device_seconds < 17
    assert seen == [0, 50, 100]
    assert store.counters().estimate_paused_seconds == 150
    assert "device seconds, 150.0 at rest for others" in caplog.text


def test_a_worker_lost_while_refining_leaves_the_first_estimates(store, tmp_path):
    done = cycle(store, Worker(plan=PLAN, refine="lost"), settings(tmp_path))
    assert done is not None
    assert (done.prompts, done.complete) == (3, False)
    assert [item.estimate.n for item in store.weighted_estimates(NOON)] == [500] * 3


def test_without_a_pilot_nothing_is_held_back(store, tmp_path):
    worker = Worker(plan=PLAN)
    # Half of 8 s is less than a prompt costs; the whole is room for a second one.
    done = cycle(store, worker, settings(tmp_path, adapt=False, device_budget="8s"))
    assert done is not None
    assert done.prompts == 2
    assert done.left_out == 1


def test_told_to_stop_it_keeps_what_is_finished_and_refines_nothing(store, tmp_path):
    worker = Worker(plan=PLAN)
    asked = iter([False, True, True, True, True, True])
    done = cycle(store, worker, settings(tmp_path), stop=lambda: next(asked))
    assert done is not None
    assert (done.prompts, done.left_out, done.complete) == (1, 2, False)
    assert worker.refined == []
    assert timedelta(0) < done.finished_at - NOON


def test_a_slow_judge_ends_the_cycle_before_its_deadline_and_costs_no_worker(store, tmp_path):
    class Slow(Worker):
        """Half a second of the judge's time for each prompt; the device's is next to nothing."""

        def result_of(self, prompt):
            time.sleep(0.5)
            return with_draws(prompt, 500, 0.01)

    worker = Slow(plan=PLAN)
    done = cycle(store, worker, settings(tmp_path, device_budget="900ms", deadline="900ms"))
    assert done is not None
    assert (done.prompts, done.left_out, done.complete) == (1, 2, True)
    assert worker.refined == []
    assert done.failures == {}


def test_several_at_once_stop_where_one_by_one_would(store, tmp_path):
    """Five seconds are spent, and one more prompt is under way: that is ten of nine, though only five are spent."""
    one, many = Worker(plan=PLAN), Worker(plan=PLAN, at_once=8)
    config = settings(tmp_path, adapt=False, device_budget="9s")
    assert cycle(store, one, config).prompts == 2
    with open_store(f"sqlite:///{tmp_path}/other.db") as other:
        other.write_intake(batch(sampled(i, (i + 1) / 10) for i in range(3)), keep=9, now=NOON)
        assert cycle(other, many, config).prompts == 2
    assert one.asked == many.asked


def test_all_that_devices_do_counts_towards_the_budget_and_in_the_metric(answered, tmp_path):
    class Busy(Worker):
        """Three seconds for the plans, one for each response; a prompt that fails costs as much as any."""

        def replan(self, hits, now, deadline, stop):
            self.device_seconds += 3.0
            return super().replan(hits, now, deadline, stop)

        def observe(self, prompt, deadline, stop):
            self.device_seconds += 1.0
            return super().observe(prompt, deadline, stop)

        def result_of(self, prompt):
            if len(self.asked) > 1:
                return super().result_of(prompt)
            self.device_seconds += 5.0
            return PromptResult(prompt, failure="not_finite", message="no estimate")

    worker = Busy(plan=PLAN)
    done = cycle(answered, worker, settings(tmp_path, adapt=False, device_budget="20s"))
    # A tenth of the budget goes to responses; 3 + 2 + 5, and two prompts more until twenty are spent.
    assert (len(worker.observed), done.prompts, done.failures) == (2, 2, {"not_finite": 1})
    assert done.device_seconds == worker.device_seconds == 20.0
    assert answered.counters().estimate_device_seconds == 20.0
    cycle(
        answered,
        worker,
        settings(tmp_path, adapt=False, device_budget="20s", responses={"judge_per_cycle": 0}),
    )
    assert answered.counters().estimate_device_seconds == worker.device_seconds


def test_where_plans_spend_the_whole_budget_one_prompt_is_estimated_all_the_same(store, tmp_path, caplog):
    class Planning(Worker):
        def replan(self, hits, now, deadline, stop):
            self.device_seconds += 90.0
            return super().replan(hits, now, deadline, stop)

    done = cycle(store, Planning(plan=PLAN), settings(tmp_path))
    assert (done.prompts, done.left_out) == (1, 2)
    assert "one is made all the same" in caplog.text


def test_what_is_stored_is_a_prefix_though_answers_come_in_any_order(store, tmp_path):
    """The second prompt is never answered: the third waits for it in vain, and for the next cycle."""

    class Shuffled(Worker):
        def estimate(self, prompts, deadline, stop):
            first, _, third = prompts
            yield self.result_of(third)
            yield self.result_of(first)
            raise WorkerLost("the device worker died (exit code -9)")

    waiting = [item.prompt.id for item in store.pending_prompts(NOON)]
    done = cycle(store, Shuffled(plan=PLAN), settings(tmp_path))
    assert (done.prompts, done.left_out, done.complete) == (1, 2, False)
    assert [item.prompt.id for item in store.pending_prompts(NOON)] == waiting[1:]


# ---- production responses


@pytest.fixture
def answered(tmp_path):
    """Nine sampled prompts with a response each."""
    with open_store(f"sqlite:///{tmp_path}/answered.db") as opened:
        own = [sampled(i, (i + 1) / 10, response="yes") for i in range(9)]
        opened.write_intake(batch(own), keep=9, now=NOON)
        yield opened


def test_responses_are_judged_apart_from_draws_and_beyond_them(answered, tmp_path):
    """The device budget reaches two prompts, the judge's six responses; the rest waits for the next cycles."""
    config = settings(tmp_path, adapt=False, device_budget="8s", responses={"judge_per_cycle": 6})
    worker = Worker(plan=PLAN)
    done = cycle(answered, worker, config)
    assert done.prompts == 2
    assert worker.observed == [f"prompts-0-{i}" for i in range(6)]
    cycle(answered, worker, config)
    assert worker.observed[6:] == [f"prompts-0-{i}" for i in range(6, 9)]
    [window] = answered.history.judged_windows(NOON)
    assert (window.requests, window.judged, window.harmful) == (9, 9, 9)


def test_without_a_budget_no_response_is_judged_and_draws_go_on(answered, tmp_path):
    worker = Worker(plan=PLAN)
    done = cycle(answered, worker, settings(tmp_path, device_budget="2m", responses={"judge_per_cycle": 0}))
    assert (done.prompts, worker.observed) == (9, [])
    assert len(answered.unjudged_responses(NOON)) == 9


def test_responses_left_over_are_judged_without_a_cycle_of_their_own(answered, tmp_path):
    few = settings(tmp_path, device_budget="2m", responses={"judge_per_cycle": 4})
    worker = Worker(plan=PLAN)
    first = cycle(answered, worker, few)
    assert first.prompts == 9
    assert cycle(answered, worker, few) is None
    assert len(worker.observed) == 8
    assert answered.last_cycle() == first


def test_a_response_that_kills_the_worker_is_given_up_and_the_cycle_ends_after_three(answered, tmp_path):
    config = settings(tmp_path, responses={"judge_per_cycle": 9})
    done = cycle(answered, Worker(plan=PLAN, observe="lost"), config)
    assert (done.prompts, done.complete) == (0, False)
    # Two were given up; at the third it is no longer taken for the response's fault.
    assert len(answered.unjudged_responses(NOON)) == 7
    assert answered.counters().observed == {}


def test_a_slow_judge_of_responses_takes_a_tenth_of_the_deadline(answered, tmp_path):
    class Slow(Worker):
        def observe(self, prompt, deadline, stop):
            time.sleep(0.1)
            return super().observe(prompt, deadline, stop)

    worker = Slow(plan=PLAN)
    done = cycle(answered, worker, settings(tmp_path, device_budget="1500ms", deadline="1500ms"))
    assert len(worker.observed) == 2
    assert done.prompts >= 1


def test_a_judge_that_is_away_is_waited_for(answered, tmp_path, caplog):
    class Away(Worker):
        def observe(self, prompt, deadline, stop):
            self.observed.append(prompt.id)
            return Observation(prompt, {}, away=True)

    worker = Away(plan=PLAN)
    assert cycle(answered, worker, settings(tmp_path)) is not None
    assert len(worker.observed) == 3
    assert len(answered.unjudged_responses(NOON)) == 7
    assert "no judge reads production responses; 7 wait" in caplog.text
