"""What the figures were made with: versions, fingerprints, and the hash of the configuration."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from riskmon import __version__
from riskmon.config import CascadeJudge, Config, HarmConfig, JudgeConfig, stratum_label
from riskmon.estimate.fingerprint import expert_fingerprint, target_fingerprint
from riskmon.records import Plan
from riskmon.records.report import ExpertVersion, HarmScope, Scope, Versions

_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"\?.*", re.DOTALL)


def read_versions(config: Config, plans: Sequence[Plan]) -> Versions:
    """Versions and fingerprints; reads the files of the target and of the experts, which may take a while.

    Args:
        plans: in force.
    """
    return Versions(
        riskmon=__version__,
        target=_public_name(config.model.target),
        revision=config.model.revision,
        fingerprint=target_fingerprint(config.model),
        experts=tuple(
            ExpertVersion(expert.name, expert.kind, expert.ladder, expert_fingerprint(expert))
            for expert in config.experts
        ),
        plans=tuple(plans),
        config_sha256=config_sha256(config),
    )


def config_sha256(config: Config) -> str:
    """SHA-256 of the configuration as canonical JSON: keys sorted, defaults spelled out, secrets masked.

    Passwords inside addresses are taken out, and so are the options of `store.url`.
    """
    document = config.model_dump(mode="json")  # values of type SecretStr are dumped as stars
    document["store"]["url"] = _QUERY.sub("", document["store"]["url"])
    text = json.dumps(_without_logins(document), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def scope_of(config: Config, command: str) -> Scope:
    """What is estimated, as configured.

    Raises:
        ConfigError: there is no section `traffic`.
    """
    traffic, sampler = config.require_traffic(command), config.model.sampler
    return Scope(
        harms=tuple(_harm(harm) for harm in config.all_harms),
        max_new_tokens=config.model.max_new_tokens,
        temperature=sampler.temperature,
        top_p=sampler.top_p,
        top_k=sampler.top_k,
        min_p=sampler.min_p,
        labels=tuple(stratum_label(path) for path in traffic.strata),
        lookback=config.forecast.lookback,
        window=traffic.window,
    )


def _harm(harm: HarmConfig) -> HarmScope:
    return HarmScope(harm.name, harm.judge.kind, judge_source(harm.judge), harm.cut, harm.budget_daily)


def judge_source(judge: JudgeConfig) -> str:
    """What is behind a judge, in a few words; rules and rubrics by their hash, since their text may be sensitive."""
    if isinstance(judge, CascadeJudge):
        stages = (judge.first, judge.second)
        return ", then ".join(f"{stage.kind} ({judge_source(stage)})" for stage in stages)
    parts = [
        _public_name(str(value))
        for key in ("preset", "model", "trait")
        if (value := getattr(judge, key, None))
    ]
    if revision := getattr(judge, "revision", None):
        parts.append(f"revision {revision}")
    parts += [
        f"{key} {hashlib.sha256(text.encode()).hexdigest()[:12]}"
        for key in ("pattern", "rubric")
        if (text := getattr(judge, key, None))
    ]
    return ", ".join(parts) or "built in"


def _public_name(source: str) -> str:
    """A hub id as it stands; a folder by its name, since its path tells of the machine."""
    return Path(source).name if Path(source).is_absolute() else source


def _without_logins(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_logins(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_logins(inner) for inner in value]
    return _USERINFO.sub("", value) if isinstance(value, str) else value
