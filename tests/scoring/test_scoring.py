"""From estimates to a text model, from a scorer to sizes, and what happens when it is useless or broken."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from riskmon.config import TrafficConfig
from riskmon.config.sampling import SamplingConfig
from riskmon.errors import ConfigError
from riskmon.records import Float32Array, Message, Prompt, Stratum
from riskmon.records.scorer import ScorerModel
from riskmon.scoring import Example, Sizes, load_scorer, open_sizes, train
from riskmon.scoring.text import FEATURES, LONGEST, projection, text_of, vectorizer
from riskmon.scoring.text_model import score_of, text_scorer
from riskmon.scoring.training import relative_risk, variance_ratio

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
FLOOR = 0.1
WORDS = tuple(f"word{i}" for i in range(300))
RISKY = {"explosive": 3.0, "poison": 2.5, "malware": 2.0}


def text(rng: np.random.Generator) -> tuple[str, float]:
    """A text, and the log risk in its words."""
    words = list(rng.choice(WORDS, size=20))
    risk = 0.0
    for word, adds in RISKY.items():
        if rng.random() < 0.08:
            words[int(rng.integers(20))] = word
            risk += adds
    return " ".join(words), risk


def examples(number: int, rng: np.random.Generator, *, told: float = 1.0) -> list[Example]:
    """Prompts of two strata, one ten times as risky; `told` is how much of the risk the words tell."""
    made = []
    for i in range(number):
        words, risk = text(rng)
        log_p = -9 + told * risk + rng.normal(0, 1.0) + 2.3 * (i % 2)
        p = float(np.exp(log_p)) if rng.random() < 0.7 else 0.0
        made.append(Example(words, Stratum((("route", str(i % 2)),)), 10.0, {"misuse": p}))
    return made


def test_a_scorer_learns_words_and_helps_on_prompts_it_has_not_seen() -> None:
    rng = np.random.default_rng(1)
    model = train(examples(3_000, rng), FLOOR, NOW, rng)
    assert model.helps
    assert model.variance_ratio is not None
    assert model.variance_ratio < 0.6
    score = text_scorer(model, FLOOR)
    plain = score(Prompt("a", "word1 word2 word3 word4"))
    assert score(Prompt("b", "word1 explosive poison word4")) > 5 * plain
    assert plain >= FLOOR
    # The mean over the traffic is about 1.
    assert np.mean([score(Prompt("c", text(rng)[0])) for _ in range(2_000)]) == pytest.approx(1.0, rel=0.3)


def test_the_measured_variance_ratio_is_that_of_new_prompts() -> None:
    rng = np.random.default_rng(2)
    model = train(examples(3_000, rng), FLOOR, NOW, rng)
    new = examples(8_000, rng)
    score = text_scorer(model, FLOOR)
    sizes = np.clip([score(Prompt("a", one.text)) for one in new], FLOOR, 1 / FLOOR)
    found = variance_ratio(
        sizes,
        relative_risk(new),
        np.ones(len(new)),
        np.array([int(one.stratum.as_dict()["route"]) for one in new]),
    )
    assert model.variance_ratio == pytest.approx(found, rel=0.5)


def test_a_scorer_that_does_not_help_is_not_used() -> None:
    used = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        model = train(examples(600, rng, told=0.0), FLOOR, NOW, rng)
        assert model.variance_ratio is not None
        used += model.helps
    assert used <= 1


def test_too_few_prompts_train_nothing() -> None:
    rng = np.random.default_rng(3)
    few = train(examples(100, rng), FLOOR, NOW, rng)
    harmless = train(
        [Example(one.text, one.stratum, 1.0, {"misuse": 0.0}) for one in examples(500, rng)], FLOOR, NOW, rng
    )
    for model in (few, harmless):
        assert (model.helps, model.variance_ratio) == (False, None)


def test_risk_is_relative_to_the_stratum_and_a_mean_over_harms() -> None:
    def example(stratum: str, **p: float) -> Example:
        return Example("", Stratum((("s", stratum),)), 1.0, p)

    many = [example("a", x=0.1 * (1 + i % 2), y=0.01) for i in range(2_000)]
    rare = [example("b", x=0.001 * (1 + i % 2), y=0.01) for i in range(2_000)]
    risk = relative_risk([*many, *rare])
    # x is 2/3 and 4/3 of each stratum's mean, y always 1.
    low, high = np.sqrt((4 / 9 + 1) / 2), np.sqrt((16 / 9 + 1) / 2)
    assert risk[:2] == pytest.approx([low, high], rel=0.03)
    # The prior of fifty prompts pulls the rarer one's mean up by the mean of all.
    assert risk[2_000] < risk[2_001] < 0.8 * high


def test_the_best_sizes_are_the_roots_of_the_mean_squares() -> None:
    rng = np.random.default_rng(4)
    mean_square = np.exp(rng.normal(0, 1.5, 4_000))
    risk = np.sqrt(mean_square) * np.where(rng.random(4_000) < 0.5, 0.2, np.sqrt(2 - 0.04))
    one, weight = np.zeros(4_000, dtype=np.int64), np.ones(4_000)

    def ratio(power: float) -> float:
        return variance_ratio(mean_square**power, risk, weight, one)

    assert ratio(0.5) == pytest.approx(min(ratio(power) for power in np.arange(0.1, 1.01, 0.1)))
    assert (
        variance_ratio(np.ones(4_000), risk, weight, one) > 1.0
    )  # the mean is known of a ratio, not of a sum
    assert variance_ratio(1 / np.clip(mean_square, 0.1, 10), risk, weight, one) > 2


def test_one_text_at_a_time_gives_what_the_vectorizer_gives() -> None:
    rng = np.random.default_rng(5)
    coefficients: Float32Array = rng.normal(size=FEATURES).astype(np.float32)
    project = projection(coefficients)
    texts = ["", "one", "One one ONE two", "日本語の文章 mixed ünï \x00", " ".join(rng.choice(WORDS, 400))]
    expected = vectorizer().transform(texts) @ coefficients
    assert [project(one) for one in texts] == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-7)
    assert project("日本") != project("日語")


def test_the_end_of_a_conversation_is_read() -> None:
    turns = (Message("user", "x" * 2 * LONGEST), Message("user", "the last turn"))
    read = text_of(Prompt("a", turns))
    assert len(read) == LONGEST
    assert read.endswith("\nthe last turn")


def test_scores_do_not_overflow() -> None:
    assert np.isfinite(score_of(np.array([-1e9, 1e9]), 3.0, 1.0, FLOOR)).all()


@pytest.mark.parametrize(
    ("score", "size", "failed"),
    [
        (0.0, FLOOR, {}),
        (0.5, 0.5, {}),
        (1e9, 10.0, {}),
        (float("nan"), FLOOR, {"not_a_number": 1}),
        (float("inf"), FLOOR, {"not_a_number": 1}),
        (-1.0, FLOOR, {"negative": 1}),
        (None, FLOOR, {"raised": 1}),
    ],
)
def test_every_score_becomes_a_size_within_bounds(score: float, size: float, failed: dict[str, int]) -> None:
    sizes = Sizes(FLOOR, lambda _: score)
    assert sizes.size(Prompt("a", "text")) == pytest.approx(size)
    assert sizes.take_failures() == failed
    assert sizes.take_failures() == {}
    assert sizes.largest == pytest.approx(10.0)


def test_a_scorer_that_raises_is_said_once_and_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(prompt: Prompt) -> float:
        raise RuntimeError(f"cannot read {prompt.content}")

    sizes = Sizes(FLOOR, broken)
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            assert sizes.size(Prompt("a", "a secret")) == FLOOR
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text
    assert sizes.take_failures() == {"raised": 5}


def traffic(**sampling: object) -> TrafficConfig:
    return TrafficConfig(jsonl=Path("x.jsonl"), sampling=SamplingConfig.model_validate(sampling))


def nothing(after: datetime | None) -> ScorerModel | None:
    return None


def test_all_prompts_are_alike_unless_asked_otherwise() -> None:
    assert open_sizes(TrafficConfig(jsonl=Path("x.jsonl")), nothing) is None
    waiting = open_sizes(traffic(by="risk"), nothing)
    assert waiting is not None
    waiting.look()
    waiting.renew()
    assert (waiting.active, waiting.largest, waiting.size(Prompt("a", "b"))) == (False, 1.0, 1.0)


def test_a_newer_model_is_taken_over_and_one_that_does_not_help_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(6)
    models = [
        train(examples(3_000, rng), FLOOR, NOW, rng),
        ScorerModel(NOW + timedelta(days=1), 900, 1.2, 1.5),
    ]
    asked: list[datetime | None] = []

    def newest(after: datetime | None) -> ScorerModel | None:
        asked.append(after)
        found: Sequence[ScorerModel] = [m for m in models[: len(asked)] if after is None or m.made_at > after]
        return found[-1] if found else None

    monkeypatch.setattr("riskmon.scoring.sizes._LOOK_EVERY_S", 0.0)
    sizes = open_sizes(traffic(by="risk"), newest)
    assert sizes is not None
    sizes.look()
    sizes.renew()
    assert sizes.active
    assert sizes.size(Prompt("a", "explosive poison malware")) > sizes.size(Prompt("a", "word1 word2"))
    sizes.look()
    assert sizes.active  # until the next batch
    sizes.renew()
    assert not sizes.active
    sizes.look()
    sizes.renew()
    assert asked == [None, NOW, NOW + timedelta(days=1)]


def test_your_own_scorer_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scorer.py").write_text(
        "LIMIT = 3\ndef score(prompt):\n    return len(prompt.content) / 4\n"
    )
    (tmp_path / "broken_scorer.py").write_text("raise RuntimeError('at import')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sizes = open_sizes(traffic(by="risk", scorer="my_scorer:score"), nothing)
    assert sizes is not None
    assert sizes.size(Prompt("a", "12345678")) == 2.0
    sys.modules.pop("my_scorer")
    for name, says in (
        ("no_such_module:score", "'no_such_module' cannot be imported.*PYTHONPATH"),
        ("broken_scorer:score", r"cannot be imported \(RuntimeError\)"),
        ("my_scorer:other", "has no function 'other'"),
        ("my_scorer:LIMIT", "has no function 'LIMIT'"),
    ):
        with pytest.raises(ConfigError, match=says):
            load_scorer(name)


def test_a_scorer_needs_sampling_by_risk() -> None:
    with pytest.raises(ValueError, match="only with by: risk"):
        SamplingConfig(scorer="a.b:c")
    with pytest.raises(ValueError, match="pattern"):
        SamplingConfig(by="risk", scorer="no colon")
    assert SamplingConfig(by="risk").trains
    assert not SamplingConfig(by="risk", scorer="a.b:c").trains
