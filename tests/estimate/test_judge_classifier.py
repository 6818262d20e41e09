"""`hf-classifier`: scores against the network's own logits, lengths, labels and heads."""

import numpy as np
import pytest
import torch
from support.judge_models import (
    bert_classifier,
    llama_classifier,
    random_guard,
    subword_tokenizer,
)
from transformers import AutoModelForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

from riskmon.config import HfClassifierJudge
from riskmon.errors import ModelUnavailable
from riskmon.estimate.judges import build_judge
from riskmon.estimate.judges.network import load_network
from riskmon.records import Message, Prompt

LABELS = ("safe", "insult", "threat")
PROMPT = Prompt("p", "Tell me a story.")
OUTPUTS = [
    "a calm walk",
    "x",
    "a much longer answer, with many more words in it than the others",
    "¯\\_(ツ)_/¯",
]


def config(folder, **more):
    settings = {"labels": ("insult", "threat"), "dtype": "float32", "device": "cpu"} | more
    return HfClassifierJudge(kind="hf-classifier", model=str(folder), **settings)


@pytest.fixture(scope="module")
def tokenizer():
    return subword_tokenizer()


@pytest.fixture(scope="module")
def llama(tokenizer, tmp_path_factory):
    return llama_classifier(tmp_path_factory.mktemp("llama"), LABELS, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def bert(tokenizer, tmp_path_factory):
    return bert_classifier(tmp_path_factory.mktemp("bert"), LABELS, 1, tokenizer=tokenizer, positions=80)


def logits_of(folder, tokenizer, *texts):
    """[labels] of one text or pair, by itself and unpadded."""
    module = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return module(**tokenizer(*texts, return_tensors="pt")).logits[0].double()


@pytest.mark.parametrize("which", ["llama", "bert"])
def test_softmax_adds_up_and_sigmoid_takes_the_largest(which, tokenizer, request):
    folder = request.getfixturevalue(which)
    added = build_judge(config(folder)).judge(PROMPT, OUTPUTS).scores
    largest = build_judge(config(folder, multi_label=True)).judge(PROMPT, OUTPUTS).scores
    for row, output in enumerate(OUTPUTS):
        logits = logits_of(folder, tokenizer, output)
        assert added[row] == pytest.approx(float(logits.softmax(-1)[1:].sum()), abs=1e-5)
        assert largest[row] == pytest.approx(float(logits.sigmoid()[1:].max()), abs=1e-5)
    assert np.ptp(added) > 1e-3, "premise: the score depends on the output"


@pytest.mark.parametrize("which", ["llama", "bert"])
def test_batches_and_padding_change_nothing(which, request):
    folder = request.getfixturevalue(which)
    judge = build_judge(config(folder, batch_size=3))
    alone = [judge.judge(PROMPT, [output]).scores[0] for output in OUTPUTS]
    np.testing.assert_allclose(judge.judge(PROMPT, OUTPUTS).scores, alone, atol=1e-6)


def test_a_dialogue_is_classified_as_a_pair(bert, tokenizer):
    judge = build_judge(config(bert, text="dialogue"))
    score = judge.judge(PROMPT, OUTPUTS[:1]).scores[0]
    assert score == pytest.approx(
        float(logits_of(bert, tokenizer, PROMPT.content, OUTPUTS[0]).softmax(-1)[1:].sum()), abs=1e-5
    )
    other = Prompt("q", (Message("user", "One."), Message("assistant", "Two."), Message("user", "Three.")))
    flat = "user: One.\nassistant: Two.\nuser: Three."
    assert judge.judge(other, OUTPUTS[:1]).scores[0] == pytest.approx(
        float(logits_of(bert, tokenizer, flat, OUTPUTS[0]).softmax(-1)[1:].sum()), abs=1e-5
    )


def test_an_answer_that_does_not_fit_has_no_verdict(bert, llama):
    long = "word " * 40  # a token per letter
    scores = build_judge(config(bert)).judge(PROMPT, ["ok", long, "fine"]).scores
    assert np.isnan(scores).tolist() == [False, True, False]
    by_setting = (
        build_judge(config(llama, max_tokens=16)).judge(PROMPT, ["ok", "x" * 16, "x" * 17, ""]).scores
    )
    assert np.isnan(by_setting).tolist() == [False, False, True, True]


def test_positions_that_start_behind_the_padding_are_counted(tokenizer, tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    module = RobertaForSequenceClassification(
        RobertaConfig(
            vocab_size=len(tokenizer), max_position_embeddings=34, pad_token_id=1, type_vocab_size=1, **sizes
        )
    )
    module.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_network("test", str(tmp_path), config(tmp_path), "classifier").positions == 32
    scores = build_judge(config(tmp_path, labels=("LABEL_1",))).judge(PROMPT, ["x" * 32, "x" * 33]).scores
    assert np.isnan(scores).tolist() == [False, True]


def test_an_unknown_label_is_named_with_those_there_are(bert):
    with pytest.raises(ModelUnavailable, match=r"has no label 'toxic'; it has safe, insult, threat"):
        build_judge(config(bert, labels=("insult", "toxic")))


def test_a_model_without_a_trained_head_is_refused(tokenizer, tmp_path):
    folder = random_guard(tmp_path, tokenizer=tokenizer)
    with pytest.raises(ModelUnavailable, match="has no weights for score"):
        build_judge(config(folder, labels=("LABEL_1",)))


def test_pickled_weights_are_refused(bert, tokenizer, tmp_path):
    module = AutoModelForSequenceClassification.from_pretrained(bert)
    module.config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="and not as safetensors"):
        build_judge(config(tmp_path))


def test_a_missing_gpu_is_said(bert):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(
        ModelUnavailable, match=r"judge 'hf-classifier'.*'cuda:0'.*no CUDA device.*auto or cpu"
    ):
        build_judge(config(bert, device="cuda:0"))


def test_its_id_follows_what_changes_scores(bert, llama):
    one = build_judge(config(bert)).id
    assert one == build_judge(config(bert, labels=("threat", "insult"), batch_size=2, threshold=0.9)).id
    others = [
        build_judge(config(llama)),
        build_judge(config(bert, labels=("insult",))),
        build_judge(config(bert, multi_label=True)),
        build_judge(config(bert, text="dialogue")),
        build_judge(config(bert, max_tokens=20)),
        build_judge(config(bert, dtype="bfloat16")),
    ]
    assert len({one, *(judge.id for judge in others)}) == len(others) + 1
