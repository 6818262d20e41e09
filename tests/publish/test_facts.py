from pathlib import Path

from support.snapshots import FULL

from riskmon.config_file import parse_config
from riskmon.publish import Facts, HarmFacts


def config(**changes):
    data = {
        "model": {"target": "org/model", "revision": "4f2a"},
        "harms": [
            {"name": "misuse", "judge": {"kind": "regex", "pattern": "x"}, "budget_daily": 10},
            {"name": "insult", "judge": {"kind": "toxicity"}},
        ],
        "traffic": {
            "kafka": {"bootstrap_servers": ["127.0.0.1:9092"], "topic": "prompts"},
            "strata": ["attributes.route", "model"],
        },
        "estimate": {"schedule": "0 */6 * * *"},
        "forecast": {"schedule": "*/10 * * * *"},
    }
    return parse_config({**data, **changes}, base=Path("/nowhere"))


def test_facts_are_read_from_the_configuration():
    facts = Facts.from_config(config(), version="1.2", reject_reasons=("not_json",), jobs=("purge",))
    assert facts == Facts(
        version="1.2",
        model="org/model@4f2a",
        harms=(HarmFacts("misuse", "regex", 10.0), HarmFacts("insult", "toxicity", None)),
        intake_mode="stream",
        stratum_labels=("route", "model"),
        reject_reasons=("not_json",),
        failure_reasons=("too_long", "unsupported", "not_finite", "worker_lost"),
        jobs=("purge",),
        estimate_schedule="0 */6 * * *",
        forecast_schedule="*/10 * * * *",
    )


def test_outcomes_of_forwarding_are_known_where_there_is_a_topic_for_it():
    kafka = {"bootstrap_servers": ["127.0.0.1:9092"], "topic": "prompts", "dead_letter_topic": "dead"}
    facts = Facts.from_config(config(traffic={"kafka": kafka}), version="1.2")
    assert facts.dead_letter_outcomes == ("sent", "cut", "failed")


def test_the_mode_of_the_intake_is_told_apart():
    kafka = {"bootstrap_servers": ["broker:9092"], "topic": "prompts", "mode": "seek"}
    assert Facts.from_config(config(traffic={"kafka": kafka}), version="1.2").intake_mode == "seek"
    without = Facts.from_config(config(traffic=None), version="1.2")
    assert without.intake_mode == ""


def test_a_configuration_without_traffic_has_no_stratum_labels():
    facts = Facts.from_config(config(traffic=None, model={"target": "org/model"}), version="1.2")
    assert facts.stratum_labels == ()
    assert facts.model == "org/model"
    assert all(forecast.stratum is None for forecast in facts.current(FULL))
