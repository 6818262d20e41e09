"""One contract for every judge, and known answers for the small ones."""

import numpy as np
import pytest
from pydantic import TypeAdapter
from support.judge_endpoint import Reply, serve
from support.judge_models import bert_classifier, random_guard, subword_tokenizer

from riskmon.config import JudgeConfig
from riskmon.estimate.judges import BUILDERS, build_judge
from riskmon.records import Message, Prompt, Verdicts

PROMPT = Prompt("p", "Tell me a story about ZEBRAS.")
CHAT = Prompt("c", (Message("system", "Be kind."), Message("user", "Tell me of ZEBRAS.")))
OUTPUTS = ["a calm walk", "you are bad", "", "¯\\_(ツ)_/¯", "badly done", "bad\nbad", "a lone \ud800"]
TOO_LONG = (
    "unreadable " * 400
)  # no judge with a model of its own here reads as much, and the endpoint balks at it
KINDS = ("regex", "toxicity", "hf-classifier", "hf-generative", "rubric", "openai", "cascade")
ALWAYS_READS = {"regex", "toxicity"}
LOCAL = {"dtype": "float32", "device": "cpu", "batch_size": 3, "max_tokens": 1200}


def judge_of(**config):
    return build_judge(TypeAdapter(JudgeConfig).validate_python(config))


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """Kind -> configurations that differ in something a score may hang on; the first is the one under contract."""
    root = tmp_path_factory.mktemp("judges")
    words = subword_tokenizer([" Safe", " Unsafe", " Controversial"])
    guard = str(random_guard(root / "guard", 7, tokenizer=words))
    classifier = str(bert_classifier(root / "classifier", ("ok", "bad"), tokenizer=words, positions=128))
    generative = {
        "kind": "hf-generative",
        "preset": "qwen3guard",
        "model": guard,
        "label_mass": 1e-9,
        **LOCAL,
    }
    rubric = {
        "kind": "rubric",
        "model": guard,
        "trait": "rude",
        "rubric": "RUBRIC",
        "label_mass": 1e-9,
        **LOCAL,
    }
    sorting = {"kind": "hf-classifier", "model": classifier, "labels": ["bad"], **LOCAL}
    regex = {"kind": "regex", "pattern": r"\bbad\b"}

    def reply(_, text):
        return Reply("I had rather not") if "unreadable" in text else Reply(str(len(text) % 101))

    with serve(reply) as endpoint:
        openai = {"kind": "openai", "url": endpoint.url, "model": "guard", "rubric": "RUBRIC"}
        cascade = {"kind": "cascade", "first": regex, "second": openai, "audit_share": 0.5}
        yield {
            "regex": [regex, {**regex, "pattern": "worse"}, {**regex, "ignore_case": False}],
            "toxicity": [{"kind": "toxicity"}],
            "hf-classifier": [sorting, {**sorting, "labels": ["ok"]}, {**sorting, "multi_label": True}],
            "hf-generative": [
                generative,
                {**generative, "label_mass": 0.5},
                {**generative, "max_tokens": 900},
            ],
            "rubric": [rubric, {**rubric, "rubric": "other"}, {**rubric, "trait": "kind"}],
            "openai": [openai, {**openai, "rubric": "other"}, {**openai, "model": "other"}],
            "cascade": [
                cascade,
                {**cascade, "audit_share": 0.4},
                {**cascade, "first": {**regex, "threshold": 1}},
            ],
        }


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def judge(kind, configs):
    return judge_of(**configs[kind][0])


def test_every_kind_is_under_contract():
    assert set(KINDS) == set(BUILDERS)


@pytest.mark.parametrize("prompt", [PROMPT, CHAT], ids=["text", "chat"])
def test_scores_are_probabilities_and_do_not_depend_on_company(judge, prompt):
    together = judge.judge(prompt, OUTPUTS)
    assert together.scores.shape == (len(OUTPUTS),)
    assert together.scores.dtype == np.float64
    readable = together.scores[~together.unreadable]
    assert ((readable >= 0) & (readable <= 1)).all()
    alone = [judge.judge(prompt, [output]) for output in OUTPUTS]
    np.testing.assert_allclose(together.scores, [each.scores[0] for each in alone], atol=1e-5)
    if together.multiplicity is not None:
        assert together.multiplicity.shape == (len(OUTPUTS),)
        assert together.multiplicity.dtype == np.float64
        np.testing.assert_array_equal(together.multiplicity, [each.multiplicity[0] for each in alone])
        assert not together.scores[together.multiplicity == 0].any()


def test_no_outputs_have_no_scores(judge):
    scores = judge.judge(PROMPT, []).scores
    assert scores.shape == (0,)
    assert scores.dtype == np.float64


def test_what_cannot_be_read_is_nan_and_harms_no_other(judge, kind):
    outputs = [OUTPUTS[0], f"bad {TOO_LONG}", OUTPUTS[1]]
    scores = judge.judge(PROMPT, outputs).scores
    assert np.isnan(scores).tolist() == [False, kind not in ALWAYS_READS, False]
    np.testing.assert_allclose(
        scores[[0, 2]], judge.judge(PROMPT, [outputs[0], outputs[2]]).scores, atol=1e-5
    )


def test_its_id_names_the_kind_and_follows_the_settings(judge, kind, configs):
    assert judge.id.startswith(f"{kind}:")
    assert judge.id == judge_of(**configs[kind][0]).id
    assert len({judge_of(**config).id for config in configs[kind]}) == len(configs[kind])


def test_it_shows_and_logs_no_text(judge, caplog):
    caplog.set_level("DEBUG")
    judge.judge(PROMPT, ["a GIRAFFE", f"bad GIRAFFE {TOO_LONG}"])
    for text in ("ZEBRA", "GIRAFFE", "unreadable unreadable", "RUBRIC"):
        assert text not in caplog.text
        assert text not in repr(judge)
        assert text not in judge.id


def test_regex_searches_and_heeds_case_when_told():
    assert judge_of(kind="regex", pattern=r"\bbad\b").judge(PROMPT, ["BAD", "badly"]).scores.tolist() == [
        1,
        0,
    ]
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
