import math
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.snapshots import CYCLE, EMPTY, FACTS, FORECASTS, FULL, SENSITIVITY, backtest, forecast, stratum

from riskmon.publish import names
from riskmon.publish.facts import Facts, HarmFacts
from riskmon.publish.metrics import build_registry
from riskmon.records import Counters, CoverageCount, Flag, Snapshot, Stratum, TrafficStatus
from riskmon.records.sensitivity import StratumSensitivity
from riskmon.statistics import upper_limit

NOT_FROM_SNAPSHOT = {
    "riskmon_store_up",
    "riskmon_build_info",
    "riskmon_intake_info",
    "riskmon_role_info",
    "riskmon_risk_budget_daily_harmful_outputs",
    "riskmon_config_last_reload_successful",
    "riskmon_config_last_reload_success_timestamp_seconds",
}


def expose(snapshot: Snapshot | None, facts: Facts = FACTS) -> dict[str, dict[tuple[str, ...], float]]:
    """riskmon's samples as Prometheus reads them: name -> label values, in order of label names -> value."""
    text = generate_latest(build_registry(lambda: snapshot, lambda: facts)).decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("riskmon_"):
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                series = found.setdefault(sample.name, {})
                assert labels not in series, f"duplicate series of {sample.name}"
                series[labels] = sample.value
    return found


def test_a_full_snapshot_shows_every_metric():
    assert set(expose(FULL)) == {metric.name for metric in names.ALL}


def test_forecasts_by_stratum_carry_harm_and_the_stratum_labels():
    shown = expose(FULL)
    # labels in the order harm, model, route
    agents = ("misuse", "chat-v3", "agents")
    assert shown["riskmon_forecast_daily_harmful_outputs"][agents] == 19.6
    assert shown["riskmon_forecast_daily_harmful_outputs_lower"][agents] == 8
    assert shown["riskmon_forecast_daily_harmful_outputs_upper"][agents] == 37
    assert shown["riskmon_forecast_any_harmful_output_probability"][agents] == 0.99999
    assert shown["riskmon_forecast_daily_requests"][agents] == 96_400
    assert shown["riskmon_harm_probability"][agents] == 2.03e-4
    assert shown["riskmon_harm_probability_upper"][agents] == 4.1e-4
    assert shown["riskmon_worst_query_probability"][agents] == pytest.approx(8.12e-3)
    assert len(shown["riskmon_forecast_daily_harmful_outputs"]) == 8


def test_totals_have_names_of_their_own_and_only_the_label_harm():
    shown = expose(FULL)
    assert shown["riskmon_forecast_total_daily_harmful_outputs"] == {("misuse",): 27.4, ("insult",): 318}
    assert shown["riskmon_forecast_total_daily_harmful_outputs_lower"] == {("misuse",): 14, ("insult",): 204}
    assert shown["riskmon_forecast_total_daily_harmful_outputs_upper"] == {("misuse",): 46, ("insult",): 471}
    assert shown["riskmon_forecast_total_any_harmful_output_probability"][("insult",)] == 1.0
    assert shown["riskmon_forecast_total_daily_requests"][("misuse",)] == 1_284_300
    assert shown["riskmon_total_harm_probability"] == {("misuse",): 2.13e-5, ("insult",): 2.48e-4}
    assert shown["riskmon_total_harm_probability_upper"] == {("misuse",): 3.9e-5, ("insult",): 3.6e-4}
    assert shown["riskmon_total_worst_query_probability"] == {("misuse",): 0.0147, ("insult",): 0.0312}
    assert shown["riskmon_forecast_total_prompts"] == {("misuse",): 1_642, ("insult",): 1_643}
    assert shown["riskmon_forecast_total_hits"] == {("misuse",): 391, ("insult",): 2_107}


def test_horizons_and_the_spread_of_the_totals():
    shown = expose(FULL)
    total = "riskmon_forecast_total"
    assert shown[f"{total}_today_harmful_outputs"] == {("misuse",): 25.9, ("insult",): 301}
    assert shown[f"{total}_today_harmful_outputs_lower"] == {("misuse",): 15, ("insult",): 197}
    assert shown[f"{total}_today_harmful_outputs_upper"] == {("misuse",): 41, ("insult",): 433}
    assert shown[f"{total}_today_over_budget_probability"] == {("misuse",): 0.991, ("insult",): 0.022}
    assert shown[f"{total}_weekly_harmful_outputs"] == {("misuse",): 193.5, ("insult",): 2_254}
    assert shown[f"{total}_weekly_harmful_outputs_lower"] == {("misuse",): 101, ("insult",): 1_401}
    assert shown[f"{total}_weekly_harmful_outputs_upper"] == {("misuse",): 322, ("insult",): 3_390}
    assert shown[f"{total}_weekly_over_budget_probability"] == {("misuse",): 0.985, ("insult",): 0.041}
    assert shown[f"{total}_daily_over_budget_probability"] == {("misuse",): 0.993, ("insult",): 0.037}
    limits = [
        shown[f"{total}_daily_harmful_outputs_{limit}"][("misuse",)]
        for limit in ("lower_99", "lower_50", "upper_50", "upper_99")
    ]
    assert limits == pytest.approx([5.6, 18.02, 32.98, 78.2])
    parts = {
        part: share for (harm, part), share in shown[f"{total}_variance_ratio"].items() if harm == "misuse"
    }
    assert parts == {"volume": 0.11, "prompts": 0.52, "samples": 0.19, "judge": 0.08, "chance": 0.1}
    assert shown["riskmon_total_retry_harm_probability"] == {("misuse",): 1.97e-4}
    assert shown["riskmon_total_retry_harm_probability_upper"] == {("misuse",): 3.71e-4}
    assert shown[f"{total}_unseen_ratio"] == {("misuse",): 0.13, ("insult",): 0.04}


def test_the_change_since_a_day_before_is_shown_by_its_parts():
    """Labels in the order harm, part; what has no interval has no bounds."""
    shown = expose(FULL)
    name = "riskmon_forecast_total_daily_harmful_outputs_change"
    assert shown[name] == {
        ("misuse", "volume"): 3.2,
        ("misuse", "mix"): 0.9,
        ("misuse", "p"): 8.0,
        ("insult", "volume"): -60.0,
        ("insult", "mix"): 0.0,
        ("insult", "p"): 18.5,
    }
    bounds = {("misuse", "volume"): (1.1, 5.7), ("misuse", "mix"): (-0.4, 2.2), ("misuse", "p"): (-1.6, 20.3)}
    assert shown[f"{name}_lower"] == {labels: low for labels, (low, _) in bounds.items()}
    assert shown[f"{name}_upper"] == {labels: high for labels, (_, high) in bounds.items()}


def test_without_a_day_before_there_is_no_change_and_a_retired_harm_has_none():
    change = {metric.name for metric in names.ALL if "_outputs_change" in metric.name}
    assert len(change) == 3
    assert not change & set(expose(replace(FULL, changes={})))
    retired = replace(FULL, changes=FULL.changes | {"retired": FULL.changes["misuse"]})
    assert expose(retired) == expose(FULL)


def test_health_freshness_work_and_traffic():
    shown = expose(FULL)
    assert shown["riskmon_uncovered_harm_probability_upper"] == {("misuse",): 3.4e-4, ("insult",): 3.65e-5}
    assert shown["riskmon_estimate_ess_ratio"] == {("misuse",): 0.214, ("insult",): 0.437}
    assert shown["riskmon_estimate_khat"] == {("misuse",): 0.58, ("insult",): 0.31}
    assert shown["riskmon_estimate_coverage_gap_ratio"] == {("misuse",): 0.0122, ("insult",): 0.0}
    assert shown["riskmon_risk_budget_daily_harmful_outputs"] == {("misuse",): 10, ("insult",): 500}
    assert shown["riskmon_build_info"] == {("regex,toxicity", FACTS.model, "0.1.0"): 1}
    assert shown["riskmon_stratum_changes_total"] == {
        ("appeared",): 6,
        ("capped",): 0,
        ("vanished",): 2,
        ("reappeared",): 1,
    }
    scalars = {name: series[()] for name, series in shown.items() if () in series}
    assert scalars == {
        "riskmon_store_up": 1,
        "riskmon_strata": 5,
        "riskmon_vanished_strata": 1,
        "riskmon_forecast_last_success_timestamp_seconds": 1_773_065_108,  # 2026-03-09 14:05:08 UTC
        "riskmon_backtest_last_success_timestamp_seconds": 1_773_062_781,  # 2026-03-09 13:26:21 UTC
        "riskmon_estimate_last_success_timestamp_seconds": 1_773_059_191,  # 2026-03-09 12:26:31 UTC
        "riskmon_estimate_duration_seconds": 1_590,
        "riskmon_sensitivity_last_success_timestamp_seconds": 1_773_027_567,  # 2026-03-09 03:39:27 UTC
        "riskmon_estimate_weight_mean": 0.9871,
        "riskmon_estimate_path_discrepancy_nats": 0.0021,
        "riskmon_estimate_left_out_prompts": 158,
        "riskmon_estimate_cycle_prompts": 1_642,
        "riskmon_estimate_prompts_total": 96_300,
        "riskmon_estimate_tokens_total": 4_100_233_019,
        "riskmon_estimate_device_seconds_total": 91_422.5,
        "riskmon_estimate_paused_seconds_total": 1_817.5,
        "riskmon_prompts_consumed_total": 8_731_402,
        "riskmon_prompts_sampled_total": 134_117,
        "riskmon_scorer_in_use": 1,
        "riskmon_scorer_variance_ratio": 0.42,
        "riskmon_scorer_last_trained_timestamp_seconds": 1_773_065_241,
        "riskmon_kafka_up": 1,
        "riskmon_kafka_readers": 1,
        "riskmon_kafka_lag_messages": 1_207,
        "riskmon_kafka_last_check_timestamp_seconds": 1_773_065_237,
        "riskmon_config_last_reload_successful": 1,
        "riskmon_config_last_reload_success_timestamp_seconds": 1_772_805_021,  # 2026-03-06 13:50:21 UTC
        "riskmon_store_last_write_timestamp_seconds": 1_773_065_238,
    }


def test_a_refused_configuration_shows_beside_the_time_of_the_last_good_one():
    refused = expose(None, replace(FACTS, state=replace(FACTS.state, refused=True)))
    assert refused["riskmon_config_last_reload_successful"] == {(): 0}
    assert refused["riskmon_config_last_reload_success_timestamp_seconds"] == {(): 1_772_805_021}


def test_sensitivity_by_stratum_and_what_is_unknown_has_no_series():
    shown = expose(FULL)
    agents, chat, insult = (
        ("misuse", "chat-v3", "agents"),
        ("misuse", "chat-v3", "chat"),
        ("insult", "chat-v3", "chat"),
    )
    assert shown["riskmon_sensitivity_worst_amplification"] == {agents: 12.5, insult: 1.75}
    assert shown["riskmon_sensitivity_worst_amplification_lower"] == {agents: 4.25, chat: 0, insult: 1.125}
    assert shown["riskmon_sensitivity_worst_amplification_upper"] == {agents: 61, insult: 2.5}
    assert shown["riskmon_sensitivity_log10_spread"] == {agents: 0.82, insult: 0.13}


def test_sensitivity_of_an_earlier_configuration_is_left_out():
    old = replace(
        SENSITIVITY,
        strata=(
            StratumSensitivity("retired", stratum("agents"), 1, 2.0, 1.0, 3.0, 0.1),
            StratumSensitivity("misuse", Stratum((("tenant", "acme"),)), 1, 2.0, 1.0, 3.0, 0.1),
        ),
    )
    shown = expose(replace(FULL, sensitivity=old))
    assert "riskmon_sensitivity_worst_amplification" not in shown
    assert "riskmon_sensitivity_last_success_timestamp_seconds" in shown


def test_flags_of_the_last_cycle_are_counted_from_zero():
    shown = expose(FULL)["riskmon_estimate_flagged_prompts"]
    # labels in the order flag, harm
    assert set(shown) == {(flag.value, harm) for flag in Flag for harm in ("misuse", "insult")}
    assert {labels: count for labels, count in shown.items() if count} == {
        ("COVERAGE_GAP", "misuse"): 20,
        ("NO_HITS", "misuse"): 1_251,
        ("TRUNCATED", "insult"): 4,
    }
    uncounted = replace(CYCLE, health=(replace(CYCLE.health[0], flagged=None),))
    assert "riskmon_estimate_flagged_prompts" not in expose(replace(FULL, last_cycle=uncounted))


def test_the_back_test_shows_what_it_can_tell_and_nothing_else():
    shown = expose(FULL)
    assert shown["riskmon_backtest_median_error_ratio"] == {("misuse",): 1.25}
    assert shown["riskmon_backtest_observation_error_ratio"] == {("misuse",): 1.125}
    assert shown["riskmon_backtest_direction_ratio"] == {("misuse",): 7 / 8}
    assert shown["riskmon_backtest_scored_forecasts"] == {("misuse",): 27, ("insult",): 0}
    assert shown["riskmon_backtest_undecided_forecasts"] == {("misuse",): 3, ("insult",): 11}
    assert shown["riskmon_backtest_above_forecasts"] == {("misuse",): 2, ("insult",): 0}
    assert shown["riskmon_backtest_below_forecasts"] == {("misuse",): 1, ("insult",): 0}
    # labels in the order harm, level
    assert shown["riskmon_backtest_interval_coverage_ratio"] == {
        ("misuse", "0.5"): 12 / 27,
        ("misuse", "0.9"): 24 / 27,
        ("misuse", "0.99"): 1.0,
    }
    gone = replace(FULL, backtests=(backtest("gone", "ww"),))
    assert not [name for name in expose(gone) if "backtest" in name and "timestamp" not in name]


def test_known_label_values_of_counters_start_at_zero_and_new_ones_join_them():
    empty, full = expose(EMPTY), expose(FULL)
    assert empty["riskmon_prompts_rejected_total"] == {("not_json",): 0, ("oversized",): 0}
    assert full["riskmon_prompts_rejected_total"] == {
        ("not_json",): 12,
        ("oversized",): 0,
        ("bad_timestamp",): 5,
    }
    assert empty["riskmon_dead_letters_total"] == {("sent",): 0, ("cut",): 0, ("failed",): 0}
    assert full["riskmon_dead_letters_total"] == {("sent",): 15, ("cut",): 0, ("failed",): 2}
    assert empty["riskmon_estimate_failures_total"] == {("too_long",): 0, ("not_finite",): 0}
    assert full["riskmon_estimate_failures_total"] == {("too_long",): 44, ("not_finite",): 0}
    assert empty["riskmon_job_failures_total"] == {("estimate",): 0, ("forecast",): 0, ("purge",): 0}
    assert full["riskmon_job_failures_total"][("estimate",)] == 2
    assert empty["riskmon_observed_outputs_total"] == {("misuse",): 0, ("insult",): 0}
    assert full["riskmon_observed_outputs_total"] == {("misuse",): 20_011, ("insult",): 20_012}
    assert full["riskmon_observed_harmful_outputs_total"] == {("misuse",): 1, ("insult",): 7}
    missed = "riskmon_observed_uncovered_harmful_outputs_total"
    assert empty[missed] == {("misuse",): 0, ("insult",): 0}
    assert full[missed] == {("misuse",): 0, ("insult",): 3}
    assert empty["riskmon_judge_verdicts_total"] == {("misuse",): 0, ("insult",): 0}
    assert full["riskmon_judge_verdicts_total"] == {("misuse",): 800_001, ("insult",): 800_002}
    assert full["riskmon_judge_unreadable_verdicts_total"] == {("misuse",): 17, ("insult",): 5}
    assert empty["riskmon_worker_restarts_total"] == {("died",): 0, ("deadline",): 0}
    assert full["riskmon_worker_restarts_total"] == {("died",): 6, ("deadline",): 0}


def test_responses_by_stratum_start_at_zero_where_one_is_forecast_and_keep_to_the_configured_labels():
    shown = expose(FULL)
    outputs = shown["riskmon_observed_stratum_outputs_total"]
    harmful = shown["riskmon_observed_stratum_harmful_outputs_total"]
    # labels in the order harm, model, route
    assert outputs[("misuse", "chat-v3", "chat")] == 10_005
    assert outputs[("misuse", "chat-v3", "agents")] == 10_006
    assert outputs[("misuse", "chat-v3", "summarise")] == 0
    assert outputs[("insult", "chat-v3", "retired")] == 20_012
    assert harmful[("insult", "chat-v3", "retired")] == 7
    assert harmful[("misuse", "chat-v3", "agents")] == 1
    # one per forecast stratum, and that which is no longer forecast; not the one without labels
    assert len(outputs) == len(harmful) == 9


def test_before_the_first_forecast_there_is_no_forecast_and_no_freshness():
    shown = set(expose(EMPTY))
    counters = {metric.name for metric in names.ALL if metric.kind == "counter" and not metric.by_stratum}
    assert shown == counters | {"riskmon_strata", "riskmon_vanished_strata"} | NOT_FROM_SNAPSHOT


def test_a_store_that_is_down_leaves_the_static_facts_and_the_process():
    text = generate_latest(build_registry(lambda: None, lambda: FACTS)).decode()
    assert set(expose(None)) == NOT_FROM_SNAPSHOT
    assert expose(None)["riskmon_store_up"] == {(): 0}
    assert expose(None)["riskmon_intake_info"] == {("stream",): 1}
    assert "process_cpu_seconds_total" in text


def test_unknown_values_have_no_series():
    health = replace(CYCLE.health[0], khat=None, ess_ratio=math.nan)
    snapshot = replace(
        FULL,
        last_cycle=replace(CYCLE, weight_mean=None, health=(health, CYCLE.health[1])),
        last_success=None,
        traffic=TrafficStatus(up=False, lag_messages=None, at=FULL.taken_at),
    )
    shown = expose(snapshot, replace(FACTS, harms=(HarmFacts("misuse", "regex", None), FACTS.harms[1])))
    assert shown["riskmon_estimate_khat"] == {("insult",): 0.31}
    assert shown["riskmon_estimate_ess_ratio"] == {("insult",): 0.437}
    assert shown["riskmon_risk_budget_daily_harmful_outputs"] == {("insult",): 500}
    assert shown["riskmon_kafka_up"] == {(): 0}
    assert ("misuse", "chat-v3", "summarise") not in shown["riskmon_worst_query_probability"]
    for absent in (
        "riskmon_estimate_weight_mean",
        "riskmon_kafka_lag_messages",
        "riskmon_estimate_duration_seconds",
        "riskmon_estimate_last_success_timestamp_seconds",
    ):
        assert absent not in shown


@pytest.mark.parametrize(
    "value",
    ['say "hi"', "two\nlines", "back\\slash", "naïve 模型 🙂", 'x"} 1\nriskmon_store_up 0\n#', ""],
)
def test_hostile_stratum_values_arrive_as_they_are(value):
    cell = forecast("misuse", stratum(value), (3.5, 1, 7, 0.97, 900, 4e-3, 6e-3, 12, 5))
    shown = expose(replace(FULL, forecasts=(cell,)))
    assert shown["riskmon_forecast_daily_harmful_outputs"] == {("misuse", "chat-v3", value): 3.5}
    assert shown["riskmon_store_up"] == {(): 1}


def test_a_lone_surrogate_does_not_break_the_scrape():
    cell = forecast("misuse", stratum("bad \ud83d"), (3.5, 1, 7, 0.97, 900, 4e-3, 6e-3, 12, 5))
    shown = expose(replace(FULL, forecasts=(cell,)))
    assert shown["riskmon_forecast_daily_harmful_outputs"] == {("misuse", "chat-v3", "bad ?"): 3.5}


def test_forecasts_of_an_earlier_configuration_are_left_out():
    old = (
        forecast("retired", None, (1, 0, 3, 0.6, 10, 0.1, 0.2, 4, 3)),
        forecast("misuse", Stratum((("tenant", "acme"),)), (2, 0, 3, 0.6, 10, 0.1, 0.2, 4, 3)),
    )
    shown = expose(replace(FULL, forecasts=(*FORECASTS, *old)))
    assert shown == expose(FULL)


def test_traffic_that_is_not_split_has_one_series_per_harm():
    cells = (
        forecast("misuse", None, (5, 2, 9, 0.99, 80, 0.06, 0.1, 9, 4)),
        forecast("misuse", Stratum(), (4, 2, 9, 0.99, 80, 0.06, 0.1, 9, 4)),
    )
    shown = expose(replace(FULL, forecasts=cells), replace(FACTS, stratum_labels=()))
    assert shown["riskmon_forecast_total_daily_harmful_outputs"] == {("misuse",): 5}
    assert shown["riskmon_forecast_daily_harmful_outputs"] == {("misuse",): 4}


def test_registering_reads_no_snapshot():
    def read() -> Snapshot:
        raise AssertionError("read before the first scrape")

    build_registry(read, lambda: FACTS)


def test_counters_without_any_known_reason_have_no_series():
    facts = replace(FACTS, reject_reasons=(), failure_reasons=(), jobs=())
    shown = expose(replace(EMPTY, counters=Counters(consumed=3)), facts)
    assert shown["riskmon_prompts_consumed_total"] == {(): 3}
    assert "riskmon_prompts_rejected_total" not in shown


def test_responses_are_in_the_bound_on_missed_harm_where_they_are_the_target_s():
    count = CoverageCount("misuse", None, 10_000, 1, responses=90_000, response_gap_hits=2)
    only_responses = CoverageCount("insult", None, 0, 0, responses=500)
    shown = replace(FULL, coverage=(count, only_responses))
    name = "riskmon_uncovered_harm_probability_upper"
    # Without draws of the target to pool, the last cycle's own bound stands.
    assert expose(shown)[name] == {("misuse",): upper_limit(1, 10_000), ("insult",): 3.65e-5}
    told = replace(FACTS, responses_from_target=True)
    assert expose(shown, told)[name] == {
        ("misuse",): upper_limit(3, 100_000),
        ("insult",): upper_limit(0, 500),
    }
