"""Every fault of a configuration ends in one sentence that says what was found and what is allowed."""

from datetime import timedelta
from pathlib import Path

import pytest

from riskmon.config import stratum_label
from riskmon.config_file import load_config, parse_config
from riskmon.errors import ConfigError

MINIMAL = {"model": {"target": "org/model"}, "judge": {"kind": "regex", "pattern": "x"}}
BASE = Path("/etc/riskmon")


def parse(**sections):
    return parse_config(MINIMAL | sections, base=BASE)


def test_a_judge_alone_is_one_harm_named_harmful():
    (harm,) = parse(judge={"kind": "toxicity", "threshold": 0.7}).all_harms
    assert (harm.name, harm.cut) == ("harmful", 0.7)


def test_a_harms_threshold_overrides_its_judges():
    config = parse_config(
        {"model": {"target": "m"}, "harms": [{"name": "a", "judge": {"kind": "toxicity"}, "threshold": 0.9}]},
        base=BASE,
    )
    assert config.all_harms[0].cut == 0.9


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"estimat": {}}, ["unknown key 'estimat'", "did you mean 'estimate'?"]),
        ({"estimate": {"samples_per_promt": 5}}, ["'estimate.samples_per_promt'", "'samples_per_prompt'"]),
        ({"experts": [{"kind": "lora", "name": "a", "pth": "x"}]}, ["'experts.0.path' is missing", "'path'"]),
        (
            {"experts": [{"kind": "lorra", "name": "a"}]},
            ["experts.0", "'lora', 'checkpoint', 'system_prompt'"],
        ),
        ({"judge": {"kind": "regex", "pattern": "("}}, ["judge.pattern", "not a regular expression"]),
        ({"judge": None}, ["either harms (a list) or judge"]),
        ({"estimate": {"device_budget": "3 fortnights"}}, ["device_budget", "ms, s, m, h or d"]),
        (
            {"estimate": {"device_budget": "2h"}},
            ["estimate.deadline must not be shorter than estimate.device_budget"],
        ),
        ({"estimate": {"schedule": "daily"}}, ["estimate.schedule", "crontab of five fields"]),
        ({"estimate": {"windows": [[4, 2]]}}, ["window [4, 2]"]),
        (
            {"model": {"target": "m", "sampler": {"temperature": 0}}},
            ["model.sampler.temperature", "greater than 0"],
        ),
        ({"model": {}}, ["'model.target' is missing"]),
        ({"traffic": {}}, ["exactly one of kafka and jsonl"]),
        ({"traffic": {"jsonl": "a", "strata": ["a.b", "c.b"]}}, ["['b', 'b']", "unique"]),
        ({"traffic": {"jsonl": "a", "strata": ["attributes.job"]}}, ["'instance', 'job'"]),
        ({"traffic": {"jsonl": "a", "fields": {"id": "a["}}}, ["not a JMESPath expression"]),
        ({"traffic": {"jsonl": "a"}, "store": {"retention": "1h"}}, ["store.retention must cover"]),
        (
            {
                "traffic": {
                    "kafka": {"bootstrap_servers": ["a"], "topic": "t", "security": {"protocol": "SASL_SSL"}}
                }
            },
            ["SASL_SSL needs mechanism, username and password"],
        ),
        (
            {"experts": [{"kind": "system_prompt", "name": "target", "text": "x"}]},
            ["may not be named 'target'"],
        ),
        ({"publish": {"listen": "9108"}}, ["publish.listen"]),
    ],
)
def test_faults_are_explained(sections, words):
    with pytest.raises(ConfigError) as caught:
        parse(**sections)
    for word in words:
        assert word in str(caught.value)


def test_secrets_stay_out_of_messages_and_reprs():
    kafka = {
        "bootstrap_servers": ["a:1"],
        "topic": "t",
        "security": {
            "protocol": "SASL_SSL",
            "mechanism": "PLAIN",
            "username": "u",
            "password": "hunter2",
            "typo": 1,
        },
    }
    with pytest.raises(ConfigError) as caught:
        parse(traffic={"kafka": kafka})
    assert "hunter2" not in str(caught.value)
    del kafka["security"]["typo"]
    assert "hunter2" not in repr(parse(traffic={"kafka": kafka}))


def test_relative_paths_are_taken_from_the_files_folder(tmp_path):
    (tmp_path / "model").mkdir()
    config = parse_config(
        MINIMAL
        | {
            "model": {"target": "model"},
            "experts": [{"kind": "lora", "name": "a", "path": "adapter"}],
            "traffic": {"jsonl": "t.jsonl"},
        },
        base=tmp_path,
    )
    assert config.model.target == str(tmp_path / "model")
    assert config.experts[0].path == tmp_path / "adapter"
    assert config.traffic.jsonl == tmp_path / "t.jsonl"
    assert config.store.url == f"sqlite:///{tmp_path}/riskmon.db"


def test_a_hub_id_and_absolute_paths_stay_as_they_are():
    config = parse(store={"url": "sqlite:////var/lib/riskmon.db"})
    assert config.model.target == "org/model"
    assert config.store.url == "sqlite:////var/lib/riskmon.db"


def test_the_environment_wins_over_the_file(monkeypatch):
    monkeypatch.setenv("RISKMON_PUBLISH__LISTEN", "0.0.0.0:9000")
    monkeypatch.setenv("RISKMON_ESTIMATE__DEVICE_BUDGET", "5m")
    config = parse(publish={"listen": "127.0.0.1:1"}, estimate={"seed": 7})
    assert config.publish.listen == "0.0.0.0:9000"
    assert config.estimate.device_budget == timedelta(minutes=5)
    assert config.estimate.seed == 7


def test_files_of_secrets_win_over_the_file_and_the_environment_over_them(tmp_path, monkeypatch):
    # As Kubernetes lays a Secret out: links to a hidden folder that is swapped when the Secret changes.
    kept = tmp_path / "..2026_11_22"
    kept.mkdir()
    (tmp_path / "..data").symlink_to(kept.name)
    for name, value in {
        "RISKMON_STORE__URL": "postgresql+psycopg://of-the-file\n",
        "RISKMON_TRAFFIC__SAMPLE_KEY": "of the file",
        "page_password": "of somebody else",
        "RISKMON_page_password": "of somebody else, as systemd names it",
    }.items():
        (kept / name).write_text(value)
        (tmp_path / name).symlink_to(f"..data/{name}")
    monkeypatch.setenv("RISKMON_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("RISKMON_TRAFFIC__SAMPLE_KEY", "of the environment")
    config = parse(store={"url": "sqlite:///x.db", "retention": "3d"}, traffic={"jsonl": "a"})
    assert config.store.url == "postgresql+psycopg://of-the-file"
    assert config.store.retention == timedelta(days=3)
    assert config.traffic.sample_key.get_secret_value() == "of the environment"


def test_a_folder_of_secrets_that_cannot_be_used_is_refused_without_showing_any(tmp_path, monkeypatch):
    monkeypatch.setenv("RISKMON_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="none is no folder; name one whose files"):
        parse()
    (tmp_path / "RISKMON_STORE__URL").write_bytes(b"hunter2\xff")
    monkeypatch.setenv("RISKMON_SECRETS_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match="not UTF-8 text") as caught:
        parse()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_list_in_the_environment_is_json(monkeypatch):
    monkeypatch.setenv("RISKMON_TRAFFIC__KAFKA__BOOTSTRAP_SERVERS", "a:1")
    with pytest.raises(ConfigError, match="written as JSON"):
        parse()
    monkeypatch.setenv("RISKMON_TRAFFIC__KAFKA__BOOTSTRAP_SERVERS", '["a:1"]')
    monkeypatch.setenv("RISKMON_TRAFFIC__KAFKA__TOPIC", "t")
    assert parse().traffic.kafka.bootstrap_servers == ("a:1",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (": : :", "not valid YAML"),
        ("- a", "mapping of sections"),
        (b"\xff\xfe\xff", "not UTF-8 text"),
        (None, "No such"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, text, words):
    file = tmp_path / "c.yaml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=words):
        load_config(file)


@pytest.mark.parametrize(
    ("path", "label"),
    [("attributes.route", "route"), ("model", "model"), ('a."x-y"', "x_y"), ("a.7b", "label_7b")],
)
def test_label_of_a_path(path, label):
    assert stratum_label(path) == label


def test_a_command_that_needs_traffic_says_so():
    with pytest.raises(ConfigError, match="'riskmon run' needs the section 'traffic'"):
        parse().require_traffic("run")
