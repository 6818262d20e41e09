"""riskmon-estimator.json: does the estimator miss harm, are its error bars honest, what does it cost, was it right?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import timeseries

from dashboards import trust
from dashboards.frame import AnyPanel, Row, board
from dashboards.links import Docs
from dashboards.panels import AMBER, BLUE, GREEN, RED, bars, graph, limits, logarithmic, marked, tile
from dashboards.queries import age, growth, one_per, present, query, rate, series
from riskmon.publish import names
from riskmon.publish.names.metric import FLAG, HARM, REASON, Metric

_EACH_HARM = f"{{{{{HARM}}}}}"
_NO_ESTIMATE = "No estimate cycle yet"
_NO_HITS = "No harmful draws in the last cycle"
_NO_CYCLE = "No cycle ended in this time range"


def estimator(docs: Docs) -> builders.Dashboard:
    """The dashboard for the question whether an estimate may be believed."""
    return board(
        "riskmon: estimator",
        "riskmon-estimator",
        "Whether the estimates behind the forecast may be believed, and what they cost.",
        (
            Row("Does it miss harm?", _missed(docs)),
            Row("Are its error bars honest?", _error_bars()),
            Row("Does it run?", _runs(docs)),
            Row("What does it cost?", _costs()),
            Row("Was it right?", [trust.backtest(docs), trust.interval_coverage(), _backtest_age()]),
        ),
        docs,
    )


def _missed(docs: Docs) -> list[AnyPanel]:
    return [
        graph(
            "Do the proposals miss harm?",
            "Coverage gap: share of the last cycle's prompts on which the target itself does harm that the proposals "
            "miss. Above 0 the estimate may be too low: add or retrain an expert that produces this harm.",
            "percentunit",
            query(series(names.ESTIMATE_COVERAGE_GAP_RATIO), _EACH_HARM),
            empty=_NO_ESTIMATE,
        )
        .min(0)
        .links([docs.runbook("RiskmonEstimatorUnhealthy")]),
        logarithmic(
            graph(
                "How much harm could they miss at most?",
                "95% upper bound on the mean probability of harm that only the target itself reaches, from the pooled "
                "draws of the target, beside the mean probability that was estimated.",
                "sci",
                query(
                    series(names.UNCOVERED_HARM_PROBABILITY_UPPER), f"{_EACH_HARM}: uncovered, upper bound"
                ),
                query(series(names.TOTAL_HARM_PROBABILITY), f"{_EACH_HARM}: estimated"),
                empty=_NO_ESTIMATE,
            ).decimals(1)
        ).links([docs.runbook("RiskmonUncoveredHarm")]),
        bars(
            "Which prompts need a second look?",
            "Prompts of the last cycle by the flag that their estimates carry; docs/method.md explains each. NO_HITS "
            "is the rule where harm is rare.",
            "short",
            present(f"{one_per((HARM, FLAG), names.ESTIMATE_FLAGGED)} > 0", f"{_EACH_HARM}: {{{{{FLAG}}}}}"),
            empty="No prompt of the last cycle is flagged",
        ).thresholds(limits((None, BLUE))),
    ]


def _error_bars() -> list[AnyPanel]:
    return [
        graph(
            "Do a few draws carry it?",
            "Effective sample size of the weighted harm over draws, mean over prompts with hits. Falling means that a "
            "few draws carry the estimate.",
            "percentunit",
            query(series(names.ESTIMATE_ESS_RATIO), _EACH_HARM),
            empty=_NO_HITS,
        )
        .min(0)
        .span(6),
        marked(
            graph(
                "Are the weights too heavy?",
                "Pareto tail index k-hat, the largest of the last cycle's prompts. Above 0.7 (dashed) the error bars "
                "are too small.",
                "none",
                query(series(names.ESTIMATE_KHAT), _EACH_HARM),
                empty="Too few harmful draws to tell",
            ),
            0.7,
        ).span(6),
        graph(
            "Do the weights average to 1?",
            "Mean importance weight E[w] of the last cycle; 1 in expectation. A lasting distance from 1 is a fault of "
            "the estimator, not of the model it watches.",
            "none",
            query(series(names.ESTIMATE_WEIGHT_MEAN), "E[w]"),
            empty=_NO_ESTIMATE,
        )
        .axis_soft_min(0.9)
        .axis_soft_max(1.1)
        .span(6),
        graph(
            "Are log-probabilities right?",
            "Path discrepancy: largest difference of a sequence's log-probability between decoding and rescoring, in "
            "nats. It shows mixed kernels and low precision.",
            "none",
            query(series(names.ESTIMATE_PATH_DISCREPANCY), "nats"),
            empty=_NO_ESTIMATE,
        )
        .min(0)
        .span(6),
    ]


def cycle_time() -> timeseries.Panel:
    """How long an estimate cycle takes; the pipeline asks that, too."""
    return graph(
        "How long does a cycle take?",
        "Wall time of the last successful estimate cycle.",
        "s",
        query(series(names.ESTIMATE_DURATION), "duration"),
        empty=_NO_ESTIMATE,
    ).min(0)


def _runs(docs: Docs) -> list[AnyPanel]:
    return [
        marked(
            graph(
                "Is it fresh?",
                "Time since the last complete estimate cycle. A saw-tooth is healthy, a ramp is a job that no longer "
                "succeeds; beyond the dashed line two runs of the default schedule are missing.",
                "s",
                query(age(names.ESTIMATE_LAST_SUCCESS), "age"),
                empty=_NO_ESTIMATE,
            )
            .min(0)
            .span(6),
            32_400,
        ).links([docs.runbook("RiskmonEstimateStale")]),
        cycle_time().span(6),
        graph(
            "What did the budget leave out?",
            "Prompts that the last cycle estimated, and sampled ones that its device budget left out. Lasting values "
            "mean that `estimate.device_budget` is too small for `traffic.sample_per_window`.",
            "short",
            query(series(names.ESTIMATE_LEFT_OUT), "left out"),
            query(series(names.ESTIMATE_CYCLE_PROMPTS), "estimated"),
            empty=_NO_ESTIMATE,
        )
        .min(0)
        .span(6),
        graph(
            "Which prompts fail, and why?",
            "Prompts of the last hour, at each moment, that could not be estimated, by reason. Those of the judge are "
            "among them.",
            "short",
            query(growth(names.ESTIMATE_FAILURES, "1h"), f"{{{{{REASON}}}}}"),
        )
        .min(0)
        .span(6),
        graph(
            "Do the judges answer?",
            "Share of the last hour's verdicts, at each moment, that could not be read, as when a judge cannot be "
            "reached. They are never taken as harmless: bounds are wider.",
            "percentunit",
            query(
                f"{growth(names.JUDGE_UNREADABLE_VERDICTS, '1h')} / ({growth(names.JUDGE_VERDICTS, '1h')} > 0)",
                f"{_EACH_HARM}: unreadable",
            ),
            empty="No answer was judged in this time range",
        )
        .min(0)
        .span(12)
        .links([docs.runbook("RiskmonJudgeFailing")]),
        graph(
            "Does the device worker stay alive?",
            "Device workers lost in the last hour, at each moment, by reason. Three losses break a cycle off.",
            "short",
            query(growth(names.WORKER_RESTARTS, "1h"), f"{{{{{REASON}}}}}"),
        )
        .min(0)
        .span(12)
        .links([docs.runbook("RiskmonWorkerRestarting")]),
    ]


def _costs() -> list[AnyPanel]:
    return [
        _each_cycle("Prompts per cycle", "Prompts estimated", names.ESTIMATE_PROMPTS, "short"),
        _each_cycle("Tokens per cycle", "Tokens pushed through any model", names.ESTIMATE_TOKENS, "short"),
        _each_cycle("Device time per cycle", "Device time spent", names.ESTIMATE_DEVICE_SECONDS, "s"),
        tile(
            "Device time per prompt",
            "Device time over prompts estimated, both in the time range of the dashboard.",
            "s",
            present(
                f"{growth(names.ESTIMATE_DEVICE_SECONDS, '$__range')} "
                f"/ ({growth(names.ESTIMATE_PROMPTS, '$__range')} > 0)",
                "per prompt",
            ),
            empty="No prompt was estimated in this time range",
        ).thresholds(limits((None, BLUE))),
        tile(
            "Tokens per second",
            "Tokens pushed through any model over device time, both in the time range of the dashboard.",
            "short",
            present(
                f"{growth(names.ESTIMATE_TOKENS, '$__range')} "
                f"/ ({growth(names.ESTIMATE_DEVICE_SECONDS, '$__range')} > 0)",
                "tokens/s",
            ),
            empty="No device time was spent in this time range",
        )
        .decimals(1)
        .thresholds(limits((None, BLUE))),
        tile(
            "Failed prompts",
            "Share of the prompts of the time range that could not be estimated.",
            "percentunit",
            present(
                f"sum({growth(names.ESTIMATE_FAILURES, '$__range')}) "
                f"/ (sum({growth(names.ESTIMATE_FAILURES, '$__range')}) "
                f"+ {growth(names.ESTIMATE_PROMPTS, '$__range')} > 0)",
                "failed",
            ),
            empty="No prompt was estimated in this time range",
        ).thresholds(limits((None, GREEN), (0.05, AMBER), (0.2, RED))),
        graph(
            "When is the device busy?",
            "Device time of estimate cycles per second, and time at rest because others needed the GPU: 1 is one "
            "device that does nothing else. Work that rests much is late: give it another GPU, or raise "
            "estimate.sharing.max_utilization.",
            "percentunit",
            query(rate(names.ESTIMATE_DEVICE_SECONDS), "working"),
            query(rate(names.ESTIMATE_PAUSED_SECONDS), "resting for others"),
        )
        .min(0)
        .span(8),
        graph(
            "How fast does it work?",
            "Tokens per second pushed through any model for estimates.",
            "short",
            query(rate(names.ESTIMATE_TOKENS), "tokens/s"),
        )
        .min(0)
        .span(8),
        graph(
            "How many prompts does it get through?",
            "Prompts estimated per second, over all instances.",
            "ops",
            query(rate(names.ESTIMATE_PROMPTS), "prompts/s"),
        )
        .min(0)
        .span(8),
    ]


def _each_cycle(title: str, what: str, counter: Metric, unit: str) -> AnyPanel:
    cycles = f"sum(changes({series(names.ESTIMATE_LAST_SUCCESS)}[$__range]))"
    return tile(
        title,
        f"{what}, over the cycles that ended in the time range of the dashboard.",
        unit,
        present(f"{growth(counter, '$__range')} / ({cycles} > 0)", "per cycle"),
        empty=_NO_CYCLE,
    ).thresholds(limits((None, BLUE)))


def _backtest_age() -> AnyPanel:
    return (
        tile(
            "How old is the back-test?",
            "Time since past forecasts were last held against production responses: at most once an hour, after a "
            "forecast.",
            "s",
            present(age(names.BACKTEST_LAST_SUCCESS), "age"),
            empty="Not run yet",
        )
        .decimals(1)
        .height(8)
        .span(6)
        .thresholds(limits((None, GREEN), (14_400, AMBER)))
    )
