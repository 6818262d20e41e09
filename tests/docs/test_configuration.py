"""Every key of `Config` is in the page and in the file, with its default, and both are what the generator gives."""

import os
import re
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, SecretStr, TypeAdapter

from riskmon.config import Config, Duration
from riskmon.config_file import load_config

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"
FILE = ROOT / "deploy" / "riskmon.yaml"

# A line that begins with `#` and holds a key is an alternative; prose has a space and no key there.
ALTERNATIVE = re.compile(r"#( +(?:- )?\w+:.*)")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = tuple(f"RISKMON_{section.upper()}" for section in Config.model_fields)
    for variable in [name for name in os.environ if name.upper().startswith(sections)]:
        monkeypatch.delenv(variable)


@pytest.mark.parametrize(
    ("what", "path"), [("page", PAGE), ("file", FILE)], ids=["docs/configuration.md", "deploy/riskmon.yaml"]
)
def test_is_up_to_date(what, path):
    done = subprocess.run(
        [sys.executable, "-m", "riskmon.config_reference", what], capture_output=True, text=True, check=True
    )
    command = f"python -m riskmon.config_reference {what} > {path.relative_to(ROOT)}"
    assert path.read_text(encoding="utf-8") == done.stdout, f"run: {command}"


def test_another_argument_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "riskmon.config_reference", "pages"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "page|file" in done.stderr


def test_check_config_accepts_the_file():
    done = subprocess.run(
        [sys.executable, "-m", "riskmon", "check-config", str(FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "experts rude; harms insult" in done.stdout


def test_the_file_holds_the_defaults():
    loaded = load_config(FILE)
    bare = Config(**{key: getattr(loaded, key) for key in ("model", "harms", "experts", "traffic")})
    assert loaded.estimate == bare.estimate
    assert loaded.forecast == bare.forecast
    assert loaded.publish == bare.publish
    assert loaded.logging == bare.logging
    assert loaded.store.url == f"sqlite:///{FILE.parent / 'riskmon.db'}"


# ---- an independent walk over Config


def sections() -> Iterator[type[BaseModel]]:
    queue: list[Any] = [Config]
    seen: set[Any] = set()
    while queue:
        kind = queue.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
            seen.add(kind)
            queue += [field.annotation for field in kind.model_fields.values()]
            yield kind
        queue += typing.get_args(kind)


def keys() -> list[Any]:
    return [
        pytest.param(section, name, id=f"{section.__name__}.{name}")
        for section in sections()
        for name in section.model_fields
    ]


def test_the_walk_reaches_the_depths():
    found = {param.id for param in keys()}
    assert {
        "KafkaSecurity.key_file",
        "SamplerConfig.min_p",
        "LoraExpert.path",
        "ToxicityJudge.threshold",
    } <= found
    assert len(found) > 70


@pytest.mark.parametrize(("section", "name"), keys())
def test_the_page_has_the_key_with_its_default_and_meaning(section, name):
    field = section.model_fields[name]
    row = page_row(section, name)
    if field.is_required():
        assert row["default"] == "required"
    elif isinstance(field.default, BaseModel):
        assert row["default"] == "its keys' defaults"
    else:
        assert same(yaml.safe_load(row["default"].strip("`")), field.default)
    assert row["allowed"]
    assert row["meaning"] == (field.description or "which of the kinds this is")


@pytest.mark.parametrize(("section", "name"), keys())
def test_the_file_has_the_key_with_its_default(section, name):
    field = section.model_fields[name]
    holders = [held for held in file_sections()[section] if name in held]
    assert holders, f"deploy/riskmon.yaml lacks {section.__name__}.{name}"
    if not field.is_required() and name not in {"experts", "harms", "kafka", "traffic"}:
        assert any(same(held[name], field.default) for held in holders)


def page_row(section: type[BaseModel], name: str) -> dict[str, str]:
    """The key's row, found by what the section says of itself."""
    intro = (section.__doc__ or "").strip()
    (table,) = [
        part for part in PAGE.read_text(encoding="utf-8").split("\n## ") if f"\n\n{intro}\n\n|" in part
    ]
    (line,) = [line for line in table.splitlines() if line.startswith(f"| `{name}` |")]
    cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    return dict(zip(("key", "allowed", "default", "meaning"), cells, strict=True))


def file_sections() -> dict[type[BaseModel], list[dict[str, Any]]]:
    """What the file holds of each section, alternatives included, found by the shape of its keys."""
    text = FILE.read_text(encoding="utf-8")
    mappings = list(mappings_in(yaml.safe_load(text)))
    for block in alternatives(text):
        mappings += mappings_in(yaml.safe_load(block))
    return {section: [found for found in mappings if fits(found, section)] for section in sections()}


def alternatives(text: str) -> Iterator[str]:
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        match = ALTERNATIVE.fullmatch(line)
        # A line as far out as a block's first one begins the next alternative.
        if block and (match is None or _indent(match[1]) <= _indent(block[0])):
            yield textwrap.dedent("\n".join(block))
            block = []
        if match is not None:
            block.append(match[1])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def mappings_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from mappings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from mappings_in(inner)


def fits(found: dict[str, Any], section: type[BaseModel]) -> bool:
    if "kind" in section.model_fields:
        return found.get("kind") in typing.get_args(section.model_fields["kind"].annotation)
    return set(found) == set(section.model_fields)


def same(written: object, default: object) -> bool:
    if isinstance(default, timedelta):
        return TypeAdapter(Duration).validate_python(written) == default
    if isinstance(default, SecretStr):
        return written == default.get_secret_value()
    if isinstance(default, Path):
        return written == str(default)
    if isinstance(default, BaseModel):
        return isinstance(written, dict)
    if isinstance(default, tuple):
        items = typing.cast(list[Any], written)
        return len(items) == len(default) and all(map(same, items, default))
    return written == default and type(written) is type(default)


# ---- what the page says of the environment


def test_the_environment_wins_over_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("RISKMON_PUBLISH__LISTEN", "0.0.0.0:9100")
    monkeypatch.setenv("RISKMON_TRAFFIC__STRATA", '["model"]')
    monkeypatch.setenv("riskmon_estimate__device_budget", "1.5h")
    monkeypatch.setenv("RISKMON_ESTIMATE__DEADLINE", "2h")
    monkeypatch.setenv("RISKMON_NO_SECTION", "1")
    copy = tmp_path / "riskmon.yaml"
    copy.write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8")
    config = load_config(copy)
    assert config.publish.listen == "0.0.0.0:9100"
    assert config.traffic is not None
    assert config.traffic.strata == ("model",)
    assert config.traffic.kafka is not None
    assert config.traffic.kafka.topic == "prompts"
    assert config.estimate.device_budget == timedelta(minutes=90)
