from pathlib import Path

from riskmon.publish import names, reference

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"

CORE = {
    "riskmon_forecast_daily_harmful_outputs",
    "riskmon_forecast_daily_harmful_outputs_lower",
    "riskmon_forecast_daily_harmful_outputs_upper",
    "riskmon_forecast_any_harmful_output_probability",
    "riskmon_forecast_daily_requests",
    "riskmon_harm_probability",
    "riskmon_worst_query_probability",
    "riskmon_uncovered_harm_probability_upper",
    "riskmon_risk_budget_daily_harmful_outputs",
    "riskmon_observed_outputs_total",
    "riskmon_observed_harmful_outputs_total",
    "riskmon_prompts_consumed_total",
    "riskmon_prompts_sampled_total",
    "riskmon_prompts_rejected_total",
    "riskmon_kafka_up",
    "riskmon_kafka_lag_messages",
    "riskmon_estimate_prompts_total",
    "riskmon_estimate_failures_total",
    "riskmon_estimate_tokens_total",
    "riskmon_estimate_device_seconds_total",
    "riskmon_estimate_last_success_timestamp_seconds",
    "riskmon_estimate_duration_seconds",
    "riskmon_forecast_last_success_timestamp_seconds",
    "riskmon_estimate_ess_ratio",
    "riskmon_estimate_khat",
    "riskmon_estimate_weight_mean",
    "riskmon_estimate_coverage_gap_ratio",
    "riskmon_build_info",
}


def test_the_names_that_other_peoples_tools_rely_on_are_all_there():
    assert {metric.name for metric in names.ALL} >= CORE


def test_names_are_unique_and_end_as_their_kind_demands():
    assert len({metric.name for metric in names.ALL}) == len(names.ALL)
    assert {m.name for m in names.ALL if m.name.endswith("_total")} == {
        m.name for m in names.ALL if m.kind == "counter"
    }


def test_a_unit_is_stated_only_where_the_name_ends_in_it():
    assert names.ESTIMATE_DEVICE_SECONDS.openmetrics_unit == "seconds"
    assert names.KAFKA_LAG.openmetrics_unit == "messages"
    assert names.DAILY_HARMFUL_OUTPUTS_UPPER.openmetrics_unit == ""


def test_the_metrics_page_is_up_to_date():
    command = "python -m riskmon.publish.reference > docs/metrics.md"
    assert DOCS.read_text(encoding="utf-8") == reference.render(), f"run: {command}"
