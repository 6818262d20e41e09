"""The rows of the overview, top to bottom: what it says at a glance, per harm, and why it may be trusted."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.models import common

from dashboards.panels import AMBER, BLUE, GREEN, RED, graph, limits, properties, tile
from dashboards.queries import age, present, query, rate, series
from riskmon.publish import names
from riskmon.publish.names.metric import HARM, REASON


def at_a_glance() -> list[stat.Panel]:
    """What a person on call looks at first."""
    budget_share = f"{series(names.TOTAL_DAILY_HARMFUL_OUTPUTS)} / {series(names.RISK_BUDGET)}"
    up = limits((None, RED), (1, GREEN))
    return [
        tile(
            "Forecast / budget",
            "Expected harmful outputs of the next 24 hours over the configured budget. Above 1 is over budget. "
            "Empty without a budget.",
            "percentunit",
            present(budget_share, f"{{{{{HARM}}}}}"),
        ).thresholds(limits((None, GREEN), (0.8, AMBER), (1, RED))),
        tile(
            "P(at least one)",
            "Probability of at least one harmful output in the next 24 hours, over all strata. "
            "Cautious: it counts what was not seen.",
            "percentunit",
            present(series(names.TOTAL_ANY_HARMFUL_OUTPUT_PROBABILITY), f"{{{{{HARM}}}}}"),
        ).thresholds(limits((None, BLUE))),
        tile(
            "Forecast age",
            "Time since the last forecast. By default one is made every 5 minutes.",
            "s",
            present(age(names.FORECAST_LAST_SUCCESS), "age"),
        ).thresholds(limits((None, GREEN), (900, AMBER), (3600, RED))),
        tile(
            "Estimate age",
            "Time since the last complete estimate cycle. By default one is due every 4 hours.",
            "s",
            present(age(names.ESTIMATE_LAST_SUCCESS), "age"),
        ).thresholds(limits((None, GREEN), (18_000, AMBER), (32_400, RED))),
        tile(
            "Source up",
            "1 when the traffic source answered its last check.",
            "none",
            present(series(names.KAFKA_UP), "source"),
        ).thresholds(up),
        tile(
            "Store up",
            "1 when the store could be read for the scrape. At 0 all that it holds is absent.",
            "none",
            present(series(names.STORE_UP), "store"),
        ).thresholds(up),
    ]


def of_one_harm() -> list[timeseries.Panel]:
    """Forecast, its make-up and its driver, for the harm that the row repeats."""
    lower, upper, budget = "lower (90%)", "upper (90%)", "budget"
    faint = {"custom__lineWidth": 0, "color": {"mode": "fixed", "fixedColor": BLUE}}
    return [
        graph(
            "Harmful outputs, next 24 hours",
            "Expected number over all strata with its 90% prediction interval, and the budget. The expectation of rare "
            "harm can lie above the interval: most days then have none.",
            "short",
            query(series(names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER), lower),
            query(series(names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER), upper),
            query(series(names.TOTAL_DAILY_HARMFUL_OUTPUTS), "expected"),
            query(series(names.RISK_BUDGET), budget),
        )
        .min(0)
        .override_by_name(lower, properties(**faint))
        .override_by_name(upper, properties(**faint, custom__fillBelowTo=lower, custom__fillOpacity=20))
        .override_by_name(
            budget,
            properties(
                color={"mode": "fixed", "fixedColor": RED},
                custom__lineStyle={"fill": "dash", "dash": [10, 10]},
            ),
        ),
        graph(
            "Expected by stratum, next 24 hours",
            "Expected harmful outputs per stratum, stacked: expectations add up to the total, intervals do not.",
            "short",
            query(series(names.DAILY_HARMFUL_OUTPUTS)),
        )
        .min(0)
        .fill_opacity(30)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL)),
        graph(
            "Mean probability of harm",
            "Traffic-weighted mean over all strata, its 95% upper limit, and the extrapolated worst query of the day. "
            "If this is flat while the forecast moves, it is the traffic. The worst query is absent where the "
            "extrapolation is refused.",
            "none",
            query(series(names.TOTAL_HARM_PROBABILITY), "mean"),
            query(series(names.TOTAL_HARM_PROBABILITY_UPPER), "upper limit (95%)"),
            query(series(names.TOTAL_WORST_QUERY_PROBABILITY), "worst query"),
        ).scale_distribution(
            common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        ),
    ]


def estimator_health() -> list[timeseries.Panel]:
    """Whether the estimates themselves may be trusted."""
    harm_legend = f"{{{{{HARM}}}}}"
    return [
        graph(
            "Coverage gap",
            "Share of the last cycle's prompts on which the target itself does harm that the proposals miss. "
            "Above 0 the estimate may be too low.",
            "percentunit",
            query(series(names.ESTIMATE_COVERAGE_GAP_RATIO), harm_legend),
        ).min(0),
        graph(
            "Pareto tail index k-hat",
            "Largest of the last cycle's prompts. Above 0.7 the error bars are too small.",
            "none",
            query(series(names.ESTIMATE_KHAT), harm_legend),
        )
        .thresholds(limits((None, GREEN), (0.7, RED)))
        .thresholds_style(
            common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        ),
        graph(
            "Effective sample size ratio",
            "Effective sample size of the weighted harm over draws, mean over prompts with hits. "
            "Falling means that a few draws carry the estimate.",
            "percentunit",
            query(series(names.ESTIMATE_ESS_RATIO), harm_legend),
        ).min(0),
        graph(
            "Mean importance weight E[w]",
            "1 in expectation. A lasting distance from 1 is a fault of the estimator, not of the model it watches.",
            "none",
            query(series(names.ESTIMATE_WEIGHT_MEAN), "E[w]"),
        ),
        graph(
            "Uncovered harm, upper bound",
            "95% upper bound on the mean probability of harm that only the target itself reaches, from the pooled "
            "draws of the target in the last cycle.",
            "none",
            query(series(names.UNCOVERED_HARM_PROBABILITY_UPPER), harm_legend),
        ),
        graph(
            "Decoding against rescoring",
            "Largest difference of a sequence's log-probability between the two. It shows mixed kernels and low "
            "precision.",
            "none",
            query(series(names.ESTIMATE_PATH_DISCREPANCY), "nats"),
        ),
    ]


def freshness_and_work() -> list[timeseries.Panel]:
    """Whether jobs run, and what they cost."""
    return [
        graph(
            "Time since the last success",
            "Of the estimate cycle and of the forecast. A saw-tooth is healthy; a ramp is a job that no longer "
            "succeeds.",
            "s",
            query(age(names.ESTIMATE_LAST_SUCCESS), "estimate"),
            query(age(names.FORECAST_LAST_SUCCESS), "forecast"),
        ),
        graph(
            "Estimated and left out",
            "Prompts estimated or failed per second, and sampled prompts that the last cycle did not reach.",
            "none",
            query(rate(names.ESTIMATE_PROMPTS), "estimated / s"),
            query(rate(names.ESTIMATE_FAILURES), f"failed / s: {{{{{REASON}}}}}"),
            query(series(names.ESTIMATE_LEFT_OUT), "left out"),
        ),
        graph(
            "Failed job runs",
            "Runs of scheduled jobs that failed or were skipped, in the last hour.",
            "short",
            query(f"sum by ({names.TASK}) (increase({series(names.JOB_FAILURES)}[1h]))"),
        ).min(0),
    ]


def intake() -> list[timeseries.Panel]:
    """Whether traffic arrives and can be read."""
    return [
        graph(
            "Messages consumed",
            "Messages read per second, rejected ones included, and prompts taken into the sample.",
            "cps",
            query(rate(names.PROMPTS_CONSUMED), "consumed"),
            query(rate(names.PROMPTS_SAMPLED), "sampled"),
        ).min(0),
        graph(
            "Messages rejected, by reason",
            "Messages per second that are no requests. docs/operations.md explains the reasons.",
            "cps",
            query(rate(names.PROMPTS_REJECTED), f"{{{{{REASON}}}}}"),
        ).min(0),
        graph(
            "Unread messages",
            "Lag over all partitions, and whether the source answers (1) or not (0).",
            "short",
            query(series(names.KAFKA_LAG), "lag"),
            query(series(names.KAFKA_UP), "source up"),
        ).min(0),
    ]


def rewording() -> list[timeseries.Panel]:
    """How far the risk of the prompts that matter most moves when they are harmlessly reworded."""
    return [
        graph(
            "Worst amplification under rewording",
            "Harm probability of the riskiest harmless rewording over that of the prompt as it stands, per stratum: "
            "the largest over the prompts that contribute most to the forecast. 10 means that a wording nobody would "
            "call different is ten times as risky. Measured once a day by default.",
            "none",
            query(series(names.SENSITIVITY_WORST_AMPLIFICATION)),
        ).scale_distribution(
            common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        ),
        graph(
            "Worst amplification, 95% interval",
            "Ends of the interval of the worst amplification, per stratum. A lower end above 1 says that some wording "
            "is riskier for certain; without an upper end nothing bounds it.",
            "none",
            query(series(names.SENSITIVITY_WORST_AMPLIFICATION_LOWER)),
            query(series(names.SENSITIVITY_WORST_AMPLIFICATION_UPPER)),
        ).scale_distribution(
            common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        ),
        graph(
            "Spread of log10 p over rewordings",
            "Standard deviation in orders of magnitude, the noise of the estimates taken out; the median over the "
            "examined prompts, per stratum. At 1 a prompt's risk is known to a factor of ten at best.",
            "none",
            query(series(names.SENSITIVITY_LOG10_SPREAD)),
        ).min(0),
    ]
