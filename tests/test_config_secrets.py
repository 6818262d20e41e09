"""Secrets come from files and variables as well as from the configuration, and leave riskmon by no output."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from riskmon.config import Config
from riskmon.config_file import load_config, parse_config
from riskmon.config_reference.fields import sections_in
from riskmon.errors import ConfigError
from riskmon.reporting.versions import config_sha256

MARK = "hunter2"
KEY = "hunter2hunter2hunter2hunter2hunter2hunter24="  # base64 of 32 bytes


def secret(name: str) -> str:
    return f"{MARK}-{name}"


def everything_secret() -> dict[str, Any]:
    """A configuration with a marked secret at every place that takes one."""
    endpoint = {
        "url": f"http://me:{secret('url')}@127.0.0.1:1/v1?token={secret('query')}",
        "model": "judge",
        "api_key": secret("api-key"),
    }
    judge = {"kind": "openai", "rubric": "Is it bad?", **endpoint}
    return {
        "model": {"target": "no/such/model", "engine": {"kind": "vllm", **endpoint}},
        "harms": [
            {"name": "bad", "judge": judge},
            {
                "name": "worse",
                "judge": {"kind": "cascade", "first": {"kind": "regex", "pattern": "a"}, "second": judge},
            },
        ],
        "sensitivity": {"paraphrase": {"kind": "openai", **endpoint}},
        "traffic": {
            "kafka": {
                "bootstrap_servers": ["127.0.0.1:1"],
                "topic": "prompts",
                "security": {
                    "protocol": "SASL_PLAINTEXT",
                    "mechanism": "PLAIN",
                    "username": "me",
                    "password": secret("kafka"),
                },
            },
            "sample_key": secret("sampling"),
        },
        "report": {
            "webhook": {"url": f"https://127.0.0.1:1/{secret('hook')}", "secret": secret("webhook")},
            "smtp": {
                "host": "127.0.0.1",
                "username": "me",
                "password": secret("smtp"),
                "sender": "a@b",
                "recipients": ["c@d"],
            },
            "prometheus": f"https://me:{secret('prometheus')}@127.0.0.1:1/",
        },
        "store": {
            "url": f"postgresql+psycopg://me:{secret('store')}@127.0.0.1:1/risk?options={secret('options')}",
            "key": KEY,
        },
        "logging": {"level": "debug"},
    }


def secret_fields(section: type[BaseModel], seen: frozenset[type[BaseModel]] = frozenset()) -> Iterator[str]:
    """Section and key of everything secret that the configuration can hold."""
    for name, field in section.model_fields.items():
        if "SecretStr" in str(field.annotation):
            yield f"{section.__name__}.{name}"
        for part in sections_in(field.annotation):
            if part not in seen:
                yield from secret_fields(part, seen | {section})


def marked_fields(value: Any) -> Iterator[str]:
    """Section and key of what carries a mark in a configuration."""
    for name in type(value).model_fields:
        held = getattr(value, name)
        if isinstance(held, SecretStr) and MARK in held.get_secret_value():
            yield f"{type(value).__name__}.{name}"
        for part in held if isinstance(held, tuple) else (held,):
            if isinstance(part, BaseModel):
                yield from marked_fields(part)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "riskmon.yaml"
    file.write_text(yaml.safe_dump(everything_secret()))
    return file


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "riskmon", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return done.stdout + done.stderr


def test_the_premise_every_secret_is_marked(config_file: Path) -> None:
    config = load_config(config_file)
    assert set(marked_fields(config)) == set(secret_fields(Config))
    assert {"StoreConfig.key", "OpenAIJudge.api_key", "WebhookConfig.url"} <= set(secret_fields(Config))


def test_no_repr_no_dump_and_no_log_record_shows_one(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config(config_file)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%s %r", config, config.store)
    shown = repr(config) + str(config) + caplog.text + config_sha256(config)
    assert MARK not in shown
    assert "postgresql+psycopg://***@127.0.0.1:1/risk?***" in shown


@pytest.mark.parametrize("command", ["check-config", "doctor", "run", "report", "rotate-key"])
def test_no_command_shows_one(command: str, config_file: Path) -> None:
    options = ["-c", str(config_file), *(["--no-model"] if command == "doctor" else [])]
    shown = run(command, *(options if command != "check-config" else [str(config_file)]))
    assert "riskmon" in shown
    assert "Traceback" not in shown
    assert MARK not in shown


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all marked texts in plain data."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield from places(inner, (*path, key))
    if isinstance(value, str) and MARK in value:
        yield path


@pytest.mark.parametrize("path", list(places(everything_secret())), ids=lambda path: ".".join(map(str, path)))
def test_no_message_about_a_wrong_value_shows_one(path: tuple[Any, ...], tmp_path: Path) -> None:
    data: Any = everything_secret()
    holder: Any = data
    for key in path[:-1]:
        holder = holder[key]
    for wrong in ([holder[path[-1]]], {"value": holder[path[-1]]}):
        holder[path[-1]] = wrong
        with pytest.raises(ConfigError) as caught:
            parse_config(data, base=tmp_path)
        assert MARK not in str(caught.value)


# ---- by file and by variable


def configured(tmp_path: Path, password: str) -> Config:
    file = tmp_path / "riskmon.yaml"
    text = yaml.safe_dump(everything_secret())
    assert secret("kafka") in text
    file.write_text(text.replace(secret("kafka"), password).replace(secret("api-key"), password))
    return load_config(file)


def password_of(config: Config) -> str:
    assert config.traffic is not None
    assert config.traffic.kafka is not None
    password = config.traffic.kafka.security.password
    assert password is not None
    assert config.harms[0].judge.api_key == password  # type: ignore[union-attr]  # a list holds it, too
    return password.get_secret_value()


def test_a_secret_is_read_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kafka").write_text("hunter3\n")
    (tmp_path / "kafka").chmod(0o444)
    assert password_of(configured(tmp_path, "!file kafka")) == "hunter3"
    assert password_of(configured(tmp_path, f"!file {tmp_path}/kafka")) == "hunter3"
    monkeypatch.setenv("SOME_PASSWORD", "hunter4")
    assert password_of(configured(tmp_path, "!env SOME_PASSWORD")) == "hunter4"


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"", 0o600, "must hold the secret as its only line"),
        (b"hunter2\nhunter2\n", 0o600, "only line"),
        (b"hunter2\xff", 0o600, "only line"),
        (b"hunter2" * 1000, 0o600, "at most 4096 bytes"),
        (b"hunter2\n", 0o602, "can be changed by every user"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, mode: int, says: str) -> None:
    (tmp_path / "kafka").write_bytes(content)
    (tmp_path / "kafka").chmod(mode)
    with pytest.raises(ConfigError, match=says) as caught:
        configured(tmp_path, "!file kafka")
    assert MARK not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("!file absent", r"!file .*absent cannot be read: No such file"),
        ("!env NOT_SET_ANYWHERE", "this variable is not set"),
        ("!file", r"!file at line \d+ of the configuration needs one word"),
        ("!env [a]", "!env at line .* needs one word"),
    ],
)
def test_what_cannot_be_found_is_said(tmp_path: Path, written: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        configured(tmp_path, written)
