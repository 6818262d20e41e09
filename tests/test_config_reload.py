"""What a reload takes over, what waits for a restart, and that the list of keys names keys."""

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from riskmon.config import Config
from riskmon.config.reload import RELOADABLE, merge, reloads
from riskmon.config_file import parse_config
from riskmon.config_reference.fields import is_list, sections_in
from riskmon.errors import ConfigError

RUNNING: dict[str, Any] = {
    "model": {"target": "org/model"},
    "experts": [{"name": "persona", "kind": "system_prompt", "text": "be bad"}],
    "harms": [
        {"name": "misuse", "judge": {"kind": "regex", "pattern": "x"}, "budget_daily": 10},
        {"name": "insult", "judge": {"kind": "toxicity"}},
    ],
    "traffic": {
        "kafka": {
            "bootstrap_servers": ["127.0.0.1:9092"],
            "topic": "prompts",
            "security": {
                "protocol": "SASL_SSL",
                "mechanism": "PLAIN",
                "username": "riskmon",
                "password": "old-secret",
            },
        }
    },
    "report": {"webhook": {"url": "https://hooks.example.org/old-secret"}},
}


def config(change=lambda data: None) -> Config:
    data = copy.deepcopy(RUNNING)
    change(data)
    return parse_config(data, base=Path("/nowhere"))


def reloaded(change):
    return merge(config(), config(change))


def test_nothing_changed_is_nothing_taken_over():
    reload = reloaded(lambda data: None)
    assert (reload.changed, reload.kept) == ((), ())
    assert reload.config == config()


def test_budgets_schedules_and_logs_are_taken_over():
    def change(data):
        data["harms"][0]["budget_daily"] = 3
        data["harms"][1]["budget_daily"] = 70
        data["estimate"] = {"schedule": "0 * * * *", "device_budget": "10m"}
        data["forecast"] = {"volume": {"history": "21d"}}
        data["logging"] = {"level": "debug"}

    reload = reloaded(change)
    assert reload.changed == (
        "harms[misuse].budget_daily",
        "harms[insult].budget_daily",
        "estimate.device_budget",
        "estimate.schedule",
        "forecast.volume.history",
        "logging.level",
    )
    assert reload.kept == ()
    assert reload.config == config(change)


def test_what_needs_a_restart_keeps_its_value_beside_what_does_not():
    def change(data):
        data["harms"][0]["budget_daily"] = 3
        data["harms"][0]["threshold"] = 0.9
        data["experts"][0]["text"] = "be worse"
        data["traffic"]["kafka"]["topic"] = "other"
        data["traffic"]["kafka"]["security"]["password"] = "new-secret"
        data["publish"] = {"listen": "127.0.0.1:9999"}
        data["report"]["folder"] = "/reports"

    reload = reloaded(change)
    assert reload.changed == ("harms[misuse].budget_daily",)
    assert reload.kept == (
        "experts[persona].text",
        "harms[misuse].threshold",
        "traffic.kafka.topic",
        "traffic.kafka.security.password",
        "publish.listen",
        "report.folder",
    )

    def only_budget(data):
        data["harms"][0]["budget_daily"] = 3

    assert reload.config == config(only_budget)


def test_a_harm_or_an_expert_more_needs_a_restart_as_a_whole():
    def change(data):
        data["harms"].pop()
        data["harms"][0]["budget_daily"] = 3
        data["experts"].append({"name": "warm", "kind": "temperature", "temperature": 1.5})

    reload = reloaded(change)
    assert reload.changed == ()
    assert reload.kept == ("experts", "harms")
    assert reload.config == config()


def test_a_section_that_comes_or_goes_is_taken_over_where_its_keys_are():
    def change(data):
        del data["report"]["webhook"]
        data["sensitivity"] = {"paraphrase": {"kind": "hf", "model": "org/paraphraser"}}
        data["traffic"] = {"jsonl": "traffic.jsonl"}

    reload = reloaded(change)
    assert reload.changed == ("sensitivity.paraphrase", "report.webhook")
    assert reload.kept == ("traffic.kafka", "traffic.jsonl")
    assert reload.config.report.webhook is None


def test_values_that_do_not_fit_what_stays_are_refused():
    """A shorter window would allow the retention asked for; but the window waits for a restart."""

    def change(data):
        data["traffic"]["window"] = "10m"
        data["store"] = {"retention": "1470m"}

    assert config(change).store.retention == timedelta(hours=24, minutes=30)
    with pytest.raises(ConfigError, match=r"store.retention must cover .*traffic.window cannot change"):
        reloaded(change)


def test_no_secret_is_named():
    def change(data):
        data["report"]["webhook"]["url"] = "https://hooks.example.org/new-secret"
        data["traffic"]["kafka"]["security"]["password"] = "new-secret"

    reload = reloaded(change)
    assert reload.changed == ("report.webhook.url",)
    assert "secret" not in " ".join((*reload.changed, *reload.kept))


def test_every_key_of_the_list_is_a_key_of_the_configuration():
    assert set(RELOADABLE) <= all_keys()


@pytest.mark.parametrize(
    "key",
    ["model.target", "experts[].text", "harms[].name", "traffic.strata", "store.url", "publish.listen"],
)
def test_what_is_built_at_start_is_not_in_the_list(key):
    assert key in all_keys()
    assert not reloads(key)
    assert not reloads(key.partition(".")[0])


def all_keys() -> set[str]:
    """Every key of the configuration by its path, lists with brackets, an independent walk."""
    found: set[str] = set()
    queue: list[tuple[str, Any]] = [("", Config)]
    while queue:
        path, section = queue.pop()
        for name, field in section.model_fields.items():
            key = f"{path}{name}"
            found.add(key)
            below = key + ("[]." if is_list(field) else ".")
            if below.count(".") < 6:  # a cascade may hold cascades
                queue += [(below, inner) for inner in sections_in(field.annotation)]
    return found
