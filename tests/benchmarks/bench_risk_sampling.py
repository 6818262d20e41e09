"""The forecast's variance with prompts sampled by risk and with all sampled alike, at the same number of prompts.

    python tests/benchmarks/bench_risk_sampling.py [--keys 200] [--ratio]

A world is a day of 24 windows of 4,000 prompts in which p follows the words: log p is the sum of what each word adds,
plus noise that no text tells. The text model is trained as the nightly job trains it, on noisy estimates of 200
prompts a window of the day before, sampled alike. Then the same day is sampled under many keys, once alike and once
by each scorer, and each prompt is estimated with the noise of an estimate from four hits. The figure is the variance
of the day's mean p over keys, relative to its square; the ratio is that of uniform sampling over it, so how many
times more prompts uniform sampling needs.

    text       as the nightly job leaves it; where it would not be used, both are the same
    shuffled   the text model's sizes given to other prompts: of no use, and used all the same
    wrong      the inverse of the text model's sizes, their mean 1 as well
    perfect    sizes by the true p

With `--ratio`, bias and variance of the weighted sum and of the ratio (`riskmon.store.weighted`) instead. Nothing
here depends on the machine.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from riskmon.bench.markdown import markdown_table
from riskmon.records import FloatArray, Prompt, Stratum
from riskmon.records.scorer import ScorerModel
from riskmon.scoring import Example, train
from riskmon.scoring.text_model import text_scorer

FLOOR = 0.1
WINDOWS, REQUESTS = 24, 4_000
NOISE = 0.5
"""Relative standard error of an estimate, that of four hits."""
NOW = datetime(2026, 11, 3, 3, 0, tzinfo=UTC)
VOCABULARY, LENGTH = 2_000, 15


@dataclass(frozen=True, slots=True)
class World:
    """How p follows the words: standard deviations of log p that words tell, and that they do not."""

    name: str
    told: float
    untold: float

    def day(self, rng: np.random.Generator) -> tuple[list[str], FloatArray]:
        """Texts and p, [WINDOWS * REQUESTS] each. Words are the same every day."""
        words = np.random.default_rng(0)
        adds = words.standard_t(4, VOCABULARY)  # a few words add much
        drawn = np.minimum(rng.zipf(1.3, (WINDOWS * REQUESTS, LENGTH)), VOCABULARY) - 1
        log_p = adds[drawn].sum(axis=1)
        log_p = (log_p - log_p.mean()) / log_p.std() * self.told
        log_p = log_p + rng.normal(0, self.untold, len(log_p)) - 9
        return [" ".join(f"w{word}" for word in row) for row in drawn], np.minimum(np.exp(log_p), 1.0)


WORLDS = (
    World("words tell most of a heavy tail", 2.0, 1.0),
    World("words tell half of it", 1.6, 1.6),
    World("words tell a little", 0.7, 2.1),
    World("a light tail, told by words", 0.8, 0.4),
    World("words tell nothing", 0.0, 2.2),
)


def learnt(world: World, kept: int) -> tuple[ScorerModel, FloatArray, FloatArray]:
    """The model of the day before, the sizes it gives the prompts of the day, and their p."""
    rng = np.random.default_rng(1)
    texts, p = world.day(rng)
    chosen = np.concatenate(
        [w * REQUESTS + np.sort(rng.choice(REQUESTS, kept, replace=False)) for w in range(WINDOWS)]
    )
    seen = noisy(p[chosen], rng)
    model = train(
        [
            Example(texts[i], Stratum(), REQUESTS / kept, {"harm": one})
            for i, one in zip(chosen, seen, strict=True)
        ],
        FLOOR,
        NOW,
        rng,
    )
    texts, p = world.day(rng)
    sizes = np.ones(len(p))
    if model.helps:
        score = text_scorer(model, FLOOR)
        sizes = np.array([score(Prompt("", text)) for text in texts])
    return model, np.clip(sizes, FLOOR, 1 / FLOOR), p


def noisy(p: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Unbiased estimates."""
    return p * rng.gamma(1 / NOISE**2, NOISE**2, size=p.shape)


def means(
    p: FloatArray, sizes: FloatArray, kept: int, keys: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """[keys] mean p of the day by the weighted sum, and by the ratio."""
    sums, requests = np.zeros(keys), np.zeros(keys)
    for window in range(len(p) // REQUESTS):
        part = slice(window * REQUESTS, (window + 1) * REQUESTS)
        own, size = p[part], sizes[part]
        for key in range(keys):
            priority = rng.random(REQUESTS) / size
            first = np.argpartition(priority, kept)[: kept + 1]
            tau = priority[first[kept]]
            chosen = first[:kept]
            weights = 1 / np.minimum(1.0, size[chosen] * tau)
            sums[key] += weights @ noisy(own[chosen], rng)
            requests[key] += weights.sum()
    return sums / len(p), sums / requests


def bench(keys: int, kept: int) -> list[tuple[str, ...]]:
    """A row a world."""
    rows = []
    for world in WORLDS:
        model, sizes, p = learnt(world, 200)
        rng = np.random.default_rng(2)
        scorers = {
            "text": sizes,
            "shuffled": rng.permutation(sizes),
            "wrong": np.clip(1 / sizes / (1 / sizes).mean(), FLOOR, 1 / FLOOR),
            "perfect": np.clip(FLOOR + (1 - FLOOR) * p / p.mean(), FLOOR, 1 / FLOOR),
        }
        # Sampled alike the ratio is used: weights add up.
        alike = relative_variance(means(p, np.ones(len(p)), kept, keys, rng)[1], p)
        cells = [world.name, str(kept), f"{alike:.2g}"]
        for name, own in scorers.items():
            if not model.helps and name != "perfect":
                cells.append("not used")
                continue
            cells.append(f"{alike / relative_variance(means(p, own, kept, keys, rng)[0], p):.2g}")
        promised = "" if model.variance_ratio is None else f"{1 / model.variance_ratio:.2g}"
        rows.append((*cells, promised))
    return rows


def relative_variance(found: FloatArray, p: FloatArray) -> float:
    """Variance over keys, in parts of the squared mean."""
    return float(found.var() / p.mean() ** 2)


def compare_ratio(keys: int) -> list[tuple[str, ...]]:
    """Bias and standard deviation of the sum and of the ratio, in one window of lognormal p."""
    rng = np.random.default_rng(3)
    told, untold = rng.normal(0, 1.7, REQUESTS), rng.normal(0, 1.0, REQUESTS)
    p = np.exp(told + untold)
    rows = []
    for name, risk in (("good", told), ("useless", rng.permutation(told)), ("adversarial", -told)):
        size = np.exp(risk)
        sizes = np.clip(FLOOR + (1 - FLOOR) * size / size.mean(), FLOOR, 1 / FLOOR)
        for kept in (20, 200):
            cells = [name, str(kept)]
            for found in means(p, sizes, kept, keys, rng):
                relative = found / p.mean()
                cells += [f"{relative.mean() - 1:+.3f}", f"{relative.std():.2f}"]
            alike = means(p, np.ones(REQUESTS), kept, keys, rng)[1] / p.mean()
            rows.append((*cells, f"{alike.std():.2f}"))
    return rows


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--keys", type=int, default=200)
    options.add_argument("--ratio", action="store_true")
    chosen = options.parse_args()
    if chosen.ratio:
        titles = ("scorer", "kept", "sum: bias", "deviation", "ratio: bias", "deviation", "alike: deviation")
        print(markdown_table(titles, compare_ratio(50 * chosen.keys), names=("scorer",)))
        return
    header = (
        "world",
        "kept a window",
        "uniform",
        "text",
        "shuffled",
        "wrong",
        "perfect",
        "text, the job says",
    )
    rows = [row for kept in (20, 200) for row in bench(chosen.keys, kept)]
    print(markdown_table(header, rows, names=("world",)))


if __name__ == "__main__":
    main()
