"""riskmon-pipeline.json: does traffic arrive, can it be read, do the jobs run, is the process well?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common

from dashboards import queries
from dashboards.estimator import cycle_time
from dashboards.frame import AnyPanel, Row, board
from dashboards.links import Docs
from dashboards.panels import AMBER, BLUE, GREEN, RED, graph, limits, tile
from dashboards.queries import age, growth, present, query, rate, series
from riskmon.publish import names
from riskmon.publish.names.metric import CHANGE, MODE, OUTCOME, REASON, TASK

_NOT_CHECKED = "The source was not checked yet"
_UP = limits((None, RED), (1, GREEN))


def pipeline(docs: Docs) -> builders.Dashboard:
    """The dashboard for the question whether riskmon itself works."""
    return board(
        "riskmon: pipeline",
        "riskmon-pipeline",
        "Whether traffic arrives and can be read, the jobs run, and the process is well.",
        (
            Row("Is it up?", _up(docs)),
            Row("Does traffic arrive, and can it be read?", _intake(docs)),
            Row("Do the jobs run?", _jobs(docs)),
            Row("Is the process well?", _process(docs)),
        ),
        docs,
    )


def _up(docs: Docs) -> list[AnyPanel]:
    return [
        tile(
            "Is riskmon scraped?",
            "1 when Prometheus could read riskmon's metrics the last time.",
            "bool_yes_no",
            present(series(queries.UP), "scraped"),
            empty="No such target in Prometheus",
        )
        .thresholds(_UP)
        .links([docs.runbook("RiskmonAbsent")]),
        tile(
            "Does the source answer?",
            "1 when the traffic source answered its last check.",
            "bool_yes_no",
            present(series(names.KAFKA_UP), "source"),
            empty=_NOT_CHECKED,
        )
        .thresholds(_UP)
        .links([docs.runbook("RiskmonKafkaDown")]),
        tile(
            "When was it asked?",
            "Time since the last check of the source. It stands still when the intake is down.",
            "s",
            present(age(names.KAFKA_LAST_CHECK), "age"),
            empty=_NOT_CHECKED,
        )
        .decimals(0)
        .thresholds(limits((None, GREEN), (60, AMBER), (300, RED))),
        tile(
            "Can the store be read?",
            "1 when the store could be read for the scrape. At 0 all that it holds is absent.",
            "bool_yes_no",
            present(series(names.STORE_UP), "store"),
        )
        .thresholds(_UP)
        .links([docs.runbook("RiskmonStoreDown")]),
        tile(
            "How far behind is the intake?",
            "Unread messages over all partitions.",
            "short",
            present(series(names.KAFKA_LAG), "lag"),
            empty="Unknown while the source does not answer",
        ).thresholds(limits((None, BLUE))),
        tile(
            "What is running?",
            "Deployed model, judges in use, version of riskmon, and whether every message is read (stream) or random "
            "ranges (seek).",
            "none",
            present(series(names.BUILD_INFO), "{{model}}, {{judge}}, riskmon {{version}}"),
            present(series(names.INTAKE_INFO), f"intake: {{{{{MODE}}}}}"),
        )
        .text_mode(common.BigValueTextMode.NAME)
        .text(common_builders.VizTextDisplayOptions().value_size(15))
        .thresholds(limits((None, BLUE))),
    ]


def _intake(docs: Docs) -> list[AnyPanel]:
    reads = docs.runbook("RiskmonKafkaDown")
    return [
        graph(
            "How much traffic is read?",
            "Messages read from the source per second, rejected ones included.",
            "cps",
            query(rate(names.PROMPTS_CONSUMED), "consumed"),
        )
        .min(0)
        .links([reads]),
        graph(
            "How much of it is sampled?",
            "Prompts taken into the sample per second. The sample has a fixed size per window and stratum, so this "
            "grows far more slowly than traffic.",
            "cps",
            query(rate(names.PROMPTS_SAMPLED), "sampled"),
        ).min(0),
        graph(
            "Does the intake keep up?",
            "Unread messages over all partitions.",
            "short",
            query(series(names.KAFKA_LAG), "lag"),
            empty="Unknown while the source does not answer",
        )
        .min(0)
        .links([docs.runbook("RiskmonIngestLagging")]),
        graph(
            "What is rejected, and why?",
            "Messages of the last hour, at each moment, that are no requests, by reason. docs/operations.md explains "
            "them.",
            "short",
            query(growth(names.PROMPTS_REJECTED, "1h"), f"{{{{{REASON}}}}}"),
        )
        .min(0)
        .links([docs.runbook("RiskmonMessagesRejected")]),
        graph(
            "How much of it is rejected?",
            "Share of the messages read that could not be used.",
            "percentunit",
            query(f"sum({rate(names.PROMPTS_REJECTED)}) / ({rate(names.PROMPTS_CONSUMED)} > 0)", "rejected"),
            empty="No message was read in this time range",
        ).min(0),
        graph(
            "Do rejected messages reach their topic?",
            "Messages of the last hour, at each moment, forwarded to the dead-letter topic, by outcome. "
            "docs/messages.md explains them.",
            "short",
            query(growth(names.DEAD_LETTERS, "1h"), f"{{{{{OUTCOME}}}}}"),
            empty="No dead-letter topic is configured",
        ).min(0),
        graph(
            "Do strata come and go?",
            "Strata that appeared, vanished or came back in the last 24 hours, at each moment. Capped: a limit was "
            "reached, and traffic beyond it is counted in `other`. Reports name them.",
            "short",
            query(growth(names.STRATUM_CHANGES, "24h"), f"{{{{{CHANGE}}}}}"),
        )
        .min(0)
        .span(12),
        graph(
            "How many strata are there?",
            "Strata that are kept apart, and strata that had traffic and have none now.",
            "short",
            query(series(names.STRATA), "kept apart"),
            query(series(names.VANISHED_STRATA), "vanished"),
        )
        .min(0)
        .span(12),
        graph(
            "Does sampling by risk pay?",
            "The forecast's variance with the text scorer over that of uniform sampling, on prompts that it was not "
            "trained on, at every training; and 1 while prompts are sampled by it. Above 1 it is not used.",
            "short",
            query(series(names.SCORER_VARIANCE_RATIO), "variance ratio"),
            query(series(names.SCORER_IN_USE), "in use"),
            empty="No scorer was trained: traffic.sampling.by is uniform, or there were too few estimates",
        ).min(0),
        graph(
            "How old is the scorer?",
            "Time since the text scorer was last trained. It is trained every night.",
            "s",
            query(age(names.SCORER_LAST_TRAINED), "age"),
            empty="No scorer was trained yet",
        ).min(0),
        graph(
            "Does the scorer fail?",
            "Prompts of the last hour, at each moment, that the scorer gave no usable score, by reason. They get the "
            "smallest size: the forecast stays unbiased and gets less sharp.",
            "short",
            query(growth(names.SCORER_FAILURES, "1h"), f"{{{{{REASON}}}}}"),
        ).min(0),
    ]


def _jobs(docs: Docs) -> list[AnyPanel]:
    return [
        graph(
            "Does each job succeed?",
            "Time since the last success of each job. A saw-tooth is healthy; a ramp is a job that no longer succeeds.",
            "s",
            query(age(names.FORECAST_LAST_SUCCESS), "forecast"),
            query(age(names.ESTIMATE_LAST_SUCCESS), "estimate"),
            query(age(names.BACKTEST_LAST_SUCCESS), "back-test"),
            query(age(names.SENSITIVITY_LAST_SUCCESS), "sensitivity"),
            empty="No job has succeeded yet",
        )
        .min(0)
        .links([docs.runbook("RiskmonEstimateStale")]),
        graph(
            "Which jobs fail?",
            "Runs of scheduled jobs that failed or were skipped in the last hour, at each moment.",
            "short",
            query(growth(names.JOB_FAILURES, "1h"), f"{{{{{TASK}}}}}"),
        )
        .min(0)
        .links([docs.runbook("RiskmonJobFailing")]),
        cycle_time(),
    ]


def _process(docs: Docs) -> list[AnyPanel]:
    """The daemon's main process; the device worker is a process of its own and has no such metrics."""
    return [
        graph(
            "How much memory does it hold?",
            "Resident memory of the daemon, without the device worker, which is a process of its own.",
            "bytes",
            query(series(queries.PROCESS_MEMORY), "resident"),
        )
        .min(0)
        .span(6),
        graph(
            "How busy is its processor?",
            "Processor time of the daemon per second, without the device worker; 1 is one core.",
            "percentunit",
            query(rate(queries.PROCESS_CPU), "cores"),
        )
        .min(0)
        .span(6),
        graph(
            "Do file descriptors run out?",
            "Open file descriptors of the daemon over how many it may open.",
            "percentunit",
            query(f"{series(queries.PROCESS_FDS)} / {series(queries.PROCESS_MAX_FDS)}", "open"),
        )
        .min(0)
        .span(6),
        graph(
            "Is a scrape quick?",
            "How long the last scrape took. Each reads the store.",
            "s",
            query(series(queries.SCRAPE_DURATION), "scrape"),
        )
        .min(0)
        .span(6),
        tile(
            "When did the store take a write?",
            "Time since the store last took what was written to it, which is tried every few seconds. One that grows "
            "says that it is locked or full.",
            "s",
            present(age(names.STORE_LAST_WRITE), "age"),
        )
        .decimals(0)
        .thresholds(limits((None, GREEN), (60, AMBER), (300, RED)))
        .links([docs.runbook("RiskmonStoreDown")])
        .span(8),
        tile(
            "Was the configuration taken over?",
            "1 when the configuration file was taken over the last time it was read, 0 when it was refused.",
            "bool_yes_no",
            present(series(names.CONFIG_RELOAD_SUCCESSFUL), "configuration"),
        )
        .thresholds(_UP)
        .links([docs.runbook("RiskmonConfigReloadFailed")])
        .span(8),
        tile(
            "Since when does it hold?",
            "Time since the configuration file was last taken over, at start or by a reload.",
            "s",
            present(age(names.CONFIG_RELOAD_TIMESTAMP), "age"),
        )
        .decimals(0)
        .thresholds(limits((None, BLUE)))
        .span(8),
    ]
