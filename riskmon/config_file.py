"""From a file to a checked `Config`: reading, explaining what is wrong, anchoring relative paths.

The sections themselves are in `riskmon.config`.
"""

from __future__ import annotations

import difflib
import re
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from riskmon.config import (
    CascadeJudge,
    CheckpointExpert,
    Config,
    EngineConfig,
    ExpertConfig,
    HarmConfig,
    HfClassifierJudge,
    HfGenerativeJudge,
    JudgeConfig,
    LoraExpert,
    RubricJudge,
    SteeringExpert,
)
from riskmon.config.named_values import read_yaml
from riskmon.config.sensitivity import LocalParaphraser, ParaphraserConfig, SensitivityConfig
from riskmon.errors import ConfigError


def load_config(path: Path) -> Config:
    """Read, check and freeze a configuration file.

    Args:
        path: the YAML file. Relative paths inside it are taken from its folder.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, a value is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"cannot read the configuration {path}: {reason}") from exc
    try:
        data = read_yaml(text, path.resolve().parent) or {}
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} is not valid YAML{where}: {getattr(exc, 'problem', exc)}") from exc
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping of sections such as 'model:' and 'experts:'")
    return parse_config(data, base=path.resolve().parent, origin=str(path))


def parse_config(data: dict[str, Any], *, base: Path, origin: str = "configuration") -> Config:
    """Check and freeze configuration data; relative paths are taken from `base`.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        config = Config(**data)
    except SettingsError as exc:
        raise ConfigError(
            f'{exc}: in a RISKMON_* variable a list or a mapping is written as JSON, such as ["a:9092"]'
        ) from exc
    except ValidationError as exc:
        raise ConfigError(f"{origin}: {_explain(exc)}") from exc
    return _anchor(config, base)


def _explain(exc: ValidationError) -> str:
    """One sentence per fault: where, what was found, what is allowed."""
    faults = []
    for error in exc.errors(include_url=False, include_input=False):
        loc = error["loc"]
        where = ".".join(str(part) for i, part in enumerate(loc) if not _tagged(loc, i)) or "top level"
        if error["type"] == "extra_forbidden":
            known = sorted(_fields_at(loc[:-1]))
            near = difflib.get_close_matches(str(loc[-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            faults.append(f"unknown key {where!r}; {hint}")
        elif error["type"] == "missing":
            faults.append(f"{where!r} is missing")
        else:
            faults.append(f"{where}: {error['msg'].removeprefix('Value error, ')}")
    return "; ".join(faults)


def _kinds(union: Any) -> dict[str, type[BaseModel]]:
    """The members of a union of sections, by their `kind`."""
    members = typing.get_args(typing.get_args(union)[0])
    return {typing.get_args(member.model_fields["kind"].annotation)[0]: member for member in members}


# pydantic puts the kind of an expert or judge into the place of an error; a user's file has no such level.
_TAGS = {
    "experts": _kinds(ExpertConfig),
    "engine": _kinds(EngineConfig),
    **dict.fromkeys(("judge", "first", "second"), _kinds(JudgeConfig)),
    "paraphrase": _kinds(ParaphraserConfig),
}


def _tagged(loc: tuple[int | str, ...], place: int) -> type[BaseModel] | None:
    """The section that a part stands for where it is such a kind, and not a key of the same name: it follows a key
    that takes sections of several kinds, or an index in a list of them."""
    keys = [part for part in loc[max(0, place - 2) : place] if isinstance(part, str)]
    return _TAGS.get(keys[-1], {}).get(str(loc[place])) if keys else None


def _fields_at(loc: tuple[int | str, ...]) -> set[str]:
    """Names of the keys allowed at a place of the configuration."""
    models: list[type[BaseModel]] = [Config]
    for place, part in enumerate(loc):
        if isinstance(part, int):
            continue
        if (section := _tagged(loc, place)) is not None:
            models = [section]
        else:
            models = [
                m for model in models if part in model.model_fields for m in _models_in(model, str(part))
            ]
    return {name for model in models for name in model.model_fields}


def _models_in(model: type[BaseModel], name: str) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    queue: list[Any] = [model.model_fields[name].annotation]
    while queue:
        kind = queue.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.append(kind)
        queue.extend(typing.get_args(kind))
    return found


def _anchor(config: Config, base: Path) -> Config:
    """The same configuration with relative paths taken from `base`."""

    def local(text: str) -> str:
        return str(base / text) if (base / text).exists() else text

    def expert_at(expert: ExpertConfig) -> ExpertConfig:
        if isinstance(expert, LoraExpert | SteeringExpert):
            return expert.model_copy(update={"path": base / expert.path})
        if isinstance(expert, CheckpointExpert):
            return expert.model_copy(update={"path": local(expert.path)})
        return expert

    def judge_at(judge: JudgeConfig) -> JudgeConfig:
        if isinstance(judge, CascadeJudge):
            return judge.model_copy(update={"first": judge_at(judge.first), "second": judge_at(judge.second)})
        if isinstance(judge, HfClassifierJudge | HfGenerativeJudge | RubricJudge) and judge.model is not None:
            return judge.model_copy(update={"model": local(judge.model)})
        return judge

    def harm_at(harm: HarmConfig) -> HarmConfig:
        calibration = None if harm.calibration is None else base / harm.calibration
        return harm.model_copy(update={"judge": judge_at(harm.judge), "calibration": calibration})

    def sensitivity_at(section: SensitivityConfig) -> SensitivityConfig:
        update: dict[str, Any] = {}
        if section.politeness is not None:
            update["politeness"] = base / section.politeness
        if isinstance(section.paraphrase, LocalParaphraser):
            update["paraphrase"] = section.paraphrase.model_copy(
                update={"model": local(section.paraphrase.model)}
            )
        return section.model_copy(update=update)

    update: dict[str, Any] = {
        "model": config.model.model_copy(update={"target": local(config.model.target)}),
        "experts": tuple(expert_at(expert) for expert in config.experts),
        "harms": tuple(harm_at(harm) for harm in config.harms),
        "judge": None if config.judge is None else judge_at(config.judge),
        "sensitivity": sensitivity_at(config.sensitivity),
        "publish": config.publish.anchored(base),
        "report": config.report.anchored(base),
        "calibrate": config.calibrate.model_copy(update={"folder": base / config.calibrate.folder}),
    }
    store: dict[str, Any] = {}
    if config.store.key_file is not None:
        store["key_file"] = base / config.store.key_file
    if match := re.fullmatch(r"sqlite(\+\w+)?:///(?![/:])(.+)", config.store.url):
        store["url"] = f"sqlite{match[1] or ''}:///{base / match[2]}"
    update["store"] = config.store.model_copy(update=store)
    if config.traffic is not None:
        traffic: dict[str, Any] = {}
        if config.traffic.jsonl is not None:
            traffic["jsonl"] = base / config.traffic.jsonl
        if config.traffic.kafka is not None:
            security = config.traffic.kafka.security
            files = {
                key: base / getattr(security, key)
                for key in ("ca_file", "cert_file", "key_file")
                if getattr(security, key) is not None
            }
            traffic["kafka"] = config.traffic.kafka.model_copy(
                update={"security": security.model_copy(update=files)}
            )
        update["traffic"] = config.traffic.model_copy(update=traffic)
    return config.model_copy(update=update)
