"""Fingerprints follow what is deployed and nothing else; the configuration's hash holds no secret."""

import pytest
from support.reporting_fixtures import SECRET, settings

from riskmon.config import ModelConfig
from riskmon.config_file import parse_config
from riskmon.estimate.fingerprint import expert_fingerprint, target_fingerprint
from riskmon.reporting.versions import config_sha256, judge_source, read_versions, scope_of


def hashed(tmp_path, **sections):
    return config_sha256(parse_config(settings(**sections), base=tmp_path))


def test_the_hash_changes_with_a_setting_and_not_with_a_secret(tmp_path, config):
    assert hashed(tmp_path) == config_sha256(config)
    assert len(config_sha256(config)) == 64
    assert hashed(tmp_path, estimate={"samples_per_prompt": 501}) != config_sha256(config)
    traffic = {**settings()["traffic"], "sample_key": "another"}
    assert hashed(tmp_path, traffic=traffic) == config_sha256(config)


def test_passwords_in_addresses_do_not_count(tmp_path):
    def at(password):
        return hashed(
            tmp_path, store={"url": f"postgresql+psycopg://u:{password}@db/risk?password={password}"}
        )

    assert at("one") == at(SECRET)
    assert at("one") != hashed(tmp_path, store={"url": "postgresql+psycopg://u:one@elsewhere/risk"})


def test_a_folder_counts_by_its_content(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    one, two = (target_fingerprint(ModelConfig(target=str(tmp_path / name))) for name in ("one", "two"))
    assert one == two
    (tmp_path / "two" / "model.safetensors").write_bytes(b"weights of a new release")
    assert target_fingerprint(ModelConfig(target=str(tmp_path / "two"))) != one


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"device": "cpu"}, True),
        ({"max_new_tokens": 300}, True),
        ({"revision": "def"}, False),
        ({"target": "example/other"}, False),
        ({"sampler": {"temperature": 0.7}}, False),
    ],
)
def test_a_hub_id_counts_by_name_revision_and_sampler(change, same):
    plain = {"target": "example/model", "revision": "abc"}
    both = [target_fingerprint(ModelConfig(**given)) for given in (plain, {**plain, **change})]
    assert (both[0] == both[1]) is same


def test_an_expert_counts_by_its_settings_and_files(tmp_path):
    (tmp_path / "direction.safetensors").write_bytes(b"one")
    steering = {"name": "s", "kind": "steering", "path": "direction.safetensors"}
    (expert,) = parse_config(settings(experts=[steering]), base=tmp_path).experts
    first = expert_fingerprint(expert)
    (stronger,) = parse_config(settings(experts=[{**steering, "strength": 0.5}]), base=tmp_path).experts
    assert expert_fingerprint(stronger) != first
    (tmp_path / "direction.safetensors").write_bytes(b"two")
    assert expert_fingerprint(expert) != first


def test_names_do_not_tell_of_the_machine(tmp_path):
    (tmp_path / "model").mkdir()
    config = parse_config(settings(model={"target": "model"}), base=tmp_path)
    assert read_versions(config, ()).target == "model"


def test_a_judge_is_named_without_its_rule(config, tmp_path):
    (harm,) = scope_of(config, "report").harms
    assert harm.source.startswith("pattern ")
    assert "badword" not in harm.source
    cascade = {
        "kind": "cascade",
        "first": {"kind": "toxicity"},
        "second": {"kind": "hf-generative", "preset": "llama-guard-3", "revision": "f00"},
    }
    judge = parse_config(settings(harms=[{"name": "a", "judge": cascade}]), base=tmp_path).harms[0].judge
    assert judge_source(judge) == "toxicity (built in), then hf-generative (llama-guard-3, revision f00)"
