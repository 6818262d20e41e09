"""The whole configuration: its sections, and what must hold between them."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from riskmon.config.calibrate import CalibrateConfig
from riskmon.config.devices import DevicesConfig
from riskmon.config.engines import check_engine
from riskmon.config.estimate import EstimateConfig
from riskmon.config.experts import ExpertConfig
from riskmon.config.harms import HarmConfig
from riskmon.config.judges import JudgeConfig
from riskmon.config.model import ModelConfig
from riskmon.config.publish import PublishConfig
from riskmon.config.release import ReleaseConfig
from riskmon.config.report import ReportConfig
from riskmon.config.rules import RulesConfig
from riskmon.config.secret_folder import secret_files
from riskmon.config.sensitivity import SensitivityConfig
from riskmon.config.services import ForecastConfig, LoggingConfig, StoreConfig
from riskmon.config.traffic import TrafficConfig
from riskmon.errors import ConfigError


class Config(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="RISKMON_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    model: ModelConfig = Field(description="the deployed model")
    experts: tuple[ExpertConfig, ...] = Field(
        (), description="unsafe variants; the target itself is always there"
    )
    harms: tuple[HarmConfig, ...] = Field((), description="what counts as harm; the same draws serve all")
    judge: JudgeConfig | None = Field(None, description="short for one harm named `harmful`")
    estimate: EstimateConfig = Field(EstimateConfig(), description="how much is drawn, from where, and when")
    devices: DevicesConfig = Field(DevicesConfig(), description="one device, or many through Ray")
    calibrate: CalibrateConfig = Field(CalibrateConfig(), description="how unsafe variants are built")
    traffic: TrafficConfig | None = Field(None, description="where prompts come from; `riskmon run` needs it")
    forecast: ForecastConfig = Field(ForecastConfig(), description="from prompts to a day")
    sensitivity: SensitivityConfig = Field(
        SensitivityConfig(), description="how far a prompt's risk moves under harmless rewordings"
    )
    release: ReleaseConfig = Field(
        ReleaseConfig(), description="what `riskmon compare` asks of a new version of the model"
    )
    publish: PublishConfig = Field(
        PublishConfig(), description="where metrics, page and API are served, and to whom"
    )
    report: ReportConfig = Field(
        ReportConfig(), description="deployment reports: what they hold, when, and where to"
    )
    rules: RulesConfig = Field(
        RulesConfig(), description="when an alert is raised, and how gravely; `riskmon rules` writes them"
    )
    store: StoreConfig = Field(StoreConfig(), description="the database")
    logging: LoggingConfig = Field(LoggingConfig(), description="what is written to standard error")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over files of secrets, and these over the configuration file."""
        return env_settings, *secret_files(file_secret_settings), init_settings

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Config:
        self.check()
        return self

    def check(self) -> None:
        """What must hold between sections.

        Raises:
            ValueError: it does not.
        """
        if bool(self.harms) == (self.judge is not None):
            raise ValueError("give either harms (a list) or judge (one harm), not both and not neither")
        for what, names in (
            ("experts", [e.name for e in self.experts]),
            ("harms", [h.name for h in self.harms]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} must have distinct names, found {names}")
        if self.traffic is not None and self.store.retention < self.forecast.lookback + self.traffic.window:
            raise ValueError("store.retention must cover forecast.lookback and one traffic.window")
        # Several devices together may work longer than the clock goes.
        if self.devices.kind == "local" and self.estimate.deadline < self.estimate.device_budget:
            raise ValueError("estimate.deadline must not be shorter than estimate.device_budget")
        if self.devices.kind == "ray" and ":" in self.model.device:
            raise ValueError(
                "with devices.kind ray each actor has a GPU of its own; set model.device to cuda"
            )
        if any(expert.name == "target" for expert in self.experts):
            raise ValueError("an expert may not be named 'target': that is the deployed model itself")
        check_engine(self.model, self.experts, self.estimate.sharing)

    @property
    def all_harms(self) -> tuple[HarmConfig, ...]:
        """The harms, with `judge` spelled out."""
        return self.harms or (HarmConfig(name="harmful", judge=typing.cast(Any, self.judge)),)

    @property
    def responses_from_target(self) -> bool:
        """Whether production responses are draws of the target."""
        return self.traffic is not None and self.traffic.responses.from_target

    @property
    def report_folder(self) -> Path | None:
        """Where reports are written; None where no folder is named."""
        return self.publish.reports if self.report.folder is None else self.report.folder

    def require_traffic(self, command: str) -> TrafficConfig:
        """The traffic section, or a `ConfigError` that says which command needs it."""
        if self.traffic is None:
            raise ConfigError(f"'riskmon {command}' needs the section 'traffic' (with 'kafka' or 'jsonl')")
        return self.traffic
