"""The body of an actor, asked in this process: what it sends while it works, and when it fails."""

from __future__ import annotations

import logging
import pickle

import pytest
from support.estimates import world_config
from support.ray_cluster import prompts

from riskmon.devices.answering import Answer, Pulse
from riskmon.devices.ray.actor import Arrival, Estimator
from riskmon.errors import WorkerLost


class OneRest:
    """Rests once, and says so twice meanwhile."""

    def __init__(self):
        self.due = True

    def closed(self, rested):
        return self.due

    def wait(self, rested, tell):
        self.due = False
        logging.getLogger("riskmon.test").info("at rest")
        tell()
        tell()


@pytest.fixture
def estimator(world):
    logger = logging.getLogger("riskmon")
    before = (logger.handlers[:], logger.propagate, logger.level)
    estimator = Estimator()
    config = world_config(world.target, world.experts)
    opened = pickle.loads(estimator.open(pickle.dumps((config, "riskmon-actor-0"))))
    assert isinstance(opened.what, Arrival)
    yield estimator
    logger.handlers[:], logger.propagate, logger.level = before


def asked(estimator, *question):
    return [pickle.loads(said) for said in estimator.ask(pickle.dumps(question))]


def test_it_says_that_it_rests_while_it_does(estimator):
    estimator._session.meter.gate = OneRest()
    said = asked(estimator, "estimate", tuple(prompts(2)))
    assert [type(one.what) for one in said] == [Pulse, Pulse, Answer, Answer]
    assert [line.getMessage() for line in said[0].lines] == ["at rest"]
    assert said[0].lines[0].processName == "riskmon-actor-0"


def test_a_fault_is_an_answer_that_names_the_prompt_and_shows_nothing_of_it(estimator, monkeypatch):
    text = "SECRET"

    def fail(*_, **__):
        raise ValueError(text)

    monkeypatch.setattr(estimator._session, "estimates", fail)
    (said,) = asked(estimator, "estimate", tuple(prompts(1)))
    assert isinstance(said.what, WorkerLost)
    assert str(said.what) == "ValueError on prompt 'p0'"
    assert "an actor failed to estimate on prompt 'p0': builtins.ValueError" in said.lines[0].getMessage()
    assert text not in repr(said.lines[0].__dict__)
