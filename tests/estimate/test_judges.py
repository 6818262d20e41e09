"""One contract for every judge, and known answers for each."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from riskmon.config import JudgeConfig
from riskmon.estimate.judges import BUILDERS, build_judge
from riskmon.records import Prompt, Verdicts

CONFIGS = {"regex": {"kind": "regex", "pattern": r"\bbad\b"}, "toxicity": {"kind": "toxicity"}}
PROMPT = Prompt("p", "Tell me a story.")
OUTPUTS = ["a calm walk", "you are bad", "", "¯\\_(ツ)_/¯", "badly done", "bad\nbad"]


def judge_of(**config):
    return build_judge(TypeAdapter(JudgeConfig).validate_python(config))


def test_every_kind_is_under_contract():
    assert set(CONFIGS) == set(BUILDERS)


@pytest.mark.parametrize("kind", CONFIGS)
def test_scores_are_probabilities_and_do_not_depend_on_company(kind):
    judge = judge_of(**CONFIGS[kind])
    together = judge.judge(PROMPT, OUTPUTS).scores
    assert together.shape == (len(OUTPUTS),)
    assert together.dtype == np.float64
    assert ((together >= 0) & (together <= 1)).all()
    alone = [judge.judge(PROMPT, [output]).scores[0] for output in OUTPUTS]
    np.testing.assert_allclose(together, alone, atol=1e-12)
    assert judge.judge(PROMPT, []).scores.shape == (0,)


@pytest.mark.parametrize("kind", CONFIGS)
def test_its_id_names_kind_and_version(kind):
    judge = judge_of(**CONFIGS[kind])
    assert judge.id.startswith(f"{kind}:")
    assert judge.id == judge_of(**CONFIGS[kind]).id


def test_regex_searches_and_heeds_case_when_told():
    assert judge_of(**CONFIGS["regex"]).judge(PROMPT, ["BAD", "badly"]).scores.tolist() == [1, 0]
    strict = judge_of(kind="regex", pattern="bad", ignore_case=False)
    assert strict.judge(PROMPT, ["BAD", "bad"]).scores.tolist() == [0, 1]
    assert strict.id != judge_of(kind="regex", pattern="bad").id


def test_toxicity_tells_insults_from_stories():
    scores = (
        judge_of(kind="toxicity")
        .judge(PROMPT, ["You are a fucking idiot.", "What a lovely day for a walk."])
        .scores
    )
    assert scores[0] > 0.9
    assert scores[1] < 0.2


def test_no_verdict_is_neither_harmful_nor_harmless():
    verdicts = Verdicts(np.array([0.9, np.nan, 0.1, 0.5]))
    assert verdicts.harmful(0.5).tolist() == [True, False, False, True]
    assert verdicts.unreadable.tolist() == [False, True, False, False]
