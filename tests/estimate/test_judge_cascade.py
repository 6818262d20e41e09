"""`cascade`: who reads what, with which weight, and that the mean stays the strong judge's own."""

import numpy as np
import pytest
from support.judge_endpoint import Reply, serve

from riskmon.config import CascadeJudge, RegexJudge
from riskmon.estimate.judges import build_judge
from riskmon.estimate.judges.cascade import Cascade
from riskmon.records import Position, Prompt, Verdicts

PROMPT = Prompt("p", "Tell me a story.")


class Reader:
    """A real judge that also notes what it was asked to read."""

    def __init__(self, pattern):
        self._judge = build_judge(RegexJudge(kind="regex", pattern=pattern))
        self.id = self._judge.id
        self.calls = []

    def judge(self, prompt, outputs):
        self.calls.append(list(outputs))
        return self._judge.judge(prompt, outputs)


class Silent(Reader):
    """One that cannot read outputs with a certain word."""

    def judge(self, prompt, outputs):
        verdicts = super().judge(prompt, outputs)
        return Verdicts(np.where(["mumble" in output for output in outputs], np.nan, verdicts.scores))


def config(share=0.25, first="flag", second="harm", **more):
    return CascadeJudge(
        kind="cascade",
        first={"kind": "regex", "pattern": first, **more},
        second={"kind": "regex", "pattern": second},
        audit_share=share,
    )


def parts(share=0.25):
    first, second = Silent("flag"), Silent("harm")
    return Cascade(config(share), first, second), first, second


def test_flagged_and_unreadable_outputs_go_to_the_second():
    cascade, first, second = parts(share=1e-9)
    outputs = ["calm", "flag harm", "mumble", "flag", "harm"]
    verdicts = cascade.judge(PROMPT, outputs)
    assert first.calls == [outputs]
    assert second.calls == [["flag harm", "mumble", "flag"]]
    np.testing.assert_array_equal(verdicts.scores, [0, 1, np.nan, 0, 0])
    assert verdicts.multiplicity.tolist() == [0, 1, 1, 1, 0]


def test_audited_outputs_stand_for_more_and_all_are_read_at_share_one():
    cascade, _, second = parts(share=0.25)
    outputs = [f"harm number {i}" for i in range(400)]
    verdicts = cascade.judge(PROMPT, outputs)
    read = verdicts.multiplicity > 0
    assert set(verdicts.multiplicity) == {0.0, 4.0}
    assert 70 < read.sum() < 130  # 100 +- 3.5 standard errors
    assert verdicts.scores[read].tolist() == [1.0] * int(read.sum())
    assert not verdicts.scores[~read].any()
    assert second.calls == [[output for output, r in zip(outputs, read, strict=True) if r]]
    everything = parts(share=1.0)[0].judge(PROMPT, outputs)
    assert everything.multiplicity.tolist() == [1.0] * 400
    assert everything.scores.tolist() == [1.0] * 400


def test_where_nothing_is_read_the_second_is_not_called():
    cascade, _, second = parts(share=1e-9)
    assert cascade.judge(PROMPT, ["calm", "calm"]).multiplicity.tolist() == [0, 0]
    assert cascade.judge(PROMPT, []).scores.shape == (0,)
    assert second.calls == []


def test_the_mean_is_the_second_judges_own():
    """Over prompts: E[multiplicity * harmful] is the strong judge's rate, though the cheap one misses half of it."""
    share, prompts = 0.2, 3000
    cascade = build_judge(config(share))
    outputs = ["calm", "calm", "harm", "flag harm", "flag", "harm", "also calm", "calm"]
    truth = build_judge(config(share).second).judge(PROMPT, outputs).harmful(0.5).mean()
    missed = build_judge(config(share).first).judge(PROMPT, outputs)
    assert truth == 3 / 8
    assert missed.harmful(0.5).sum() == 2, "premise: two harmful outputs are not flagged"
    means = []
    for i in range(prompts):
        verdicts = cascade.judge(Prompt(f"p{i}", "Tell me a story."), outputs)
        means.append((verdicts.multiplicity * verdicts.harmful(0.5)).mean())
    error = np.std(means) / np.sqrt(prompts)
    assert np.mean(means) == pytest.approx(truth, abs=3.5 * error)
    # Two equal outputs are chosen independently: the variance of two, 2 * (1 - a) / a / 64.
    assert np.var(means) == pytest.approx(2 * (1 - share) / share / 64, rel=0.15)


def test_what_is_audited_depends_on_prompt_and_output_alone():
    cascade = build_judge(config(0.5))
    outputs = [f"calm {i}" for i in range(60)]
    together = cascade.judge(PROMPT, outputs).multiplicity
    assert 0 < (together > 0).sum() < 60
    alone = [cascade.judge(PROMPT, [output]).multiplicity[0] for output in outputs]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[::-1], cascade.judge(PROMPT, outputs[::-1]).multiplicity)
    np.testing.assert_array_equal(together, build_judge(config(0.5)).judge(PROMPT, outputs).multiplicity)
    elsewhere = [
        cascade.judge(Prompt("q", PROMPT.content), outputs).multiplicity,
        cascade.judge(Prompt("p", PROMPT.content, position=Position("t", 0, 1)), outputs).multiplicity,
        build_judge(config(0.5, second="hurt")).judge(PROMPT, outputs).multiplicity,
    ]
    for other in elsewhere:
        assert (other != together).any()


def test_the_first_judges_own_threshold_decides():
    def flags(threshold):
        with serve(lambda *_: Reply("40")) as endpoint:
            judge = build_judge(
                CascadeJudge(
                    kind="cascade",
                    first={
                        "kind": "openai", "url": endpoint.url, "model": "m", "rubric": "r", "threshold": threshold,
                    },
                    second={"kind": "regex", "pattern": "harm"},
                    audit_share=1e-9,
                )
            )  # fmt: skip
            return judge.judge(PROMPT, ["harm"]).multiplicity.tolist()

    assert flags(0.4) == [1]
    assert flags(0.41) == [0]


def test_its_id_names_both_and_follows_share_and_threshold():
    one = build_judge(config()).id
    assert one.startswith("cascade:regex:")
    assert one.count("regex:") == 2
    others = [config(0.3), config(first="x"), config(second="x"), config(threshold=0.9)]
    assert len({one, *(build_judge(other).id for other in others)}) == 5
