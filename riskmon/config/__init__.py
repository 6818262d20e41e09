"""Every setting of riskmon, once: name, default, unit, meaning.

A YAML file is read, `RISKMON_*` environment variables override it (`RISKMON_PUBLISH__LISTEN=0.0.0.0:9108`), the
result is checked and frozen. Unknown keys are refused with the nearest known one. Relative paths are taken from the
folder of the file. docs/configuration.md and the command line read their texts from here.
"""

from riskmon.config.calibrate import CalibrateConfig
from riskmon.config.devices import DevicesConfig
from riskmon.config.engines import EngineConfig, VllmEngine
from riskmon.config.estimate import EstimateConfig, SharingConfig
from riskmon.config.experts import (
    CheckpointExpert,
    ExpertConfig,
    LoraExpert,
    PrefixExpert,
    SteeringExpert,
    SystemPromptExpert,
    TemperatureExpert,
)
from riskmon.config.harms import HarmConfig
from riskmon.config.judges import (
    CascadeJudge,
    HfClassifierJudge,
    HfGenerativeJudge,
    JudgeConfig,
    OpenAIJudge,
    RegexJudge,
    RubricJudge,
    SimpleJudge,
    ToxicityJudge,
)
from riskmon.config.model import ModelConfig, SamplerConfig
from riskmon.config.publish import AuthConfig, PublishConfig, TlsConfig
from riskmon.config.report import ReportConfig, SmtpConfig, WebhookConfig
from riskmon.config.root import Config
from riskmon.config.rules import RulesConfig
from riskmon.config.services import ForecastConfig, LoggingConfig, StoreConfig
from riskmon.config.traffic import (
    DuplicatesConfig,
    FieldsConfig,
    KafkaConfig,
    KafkaSecurity,
    SeekConfig,
    TrafficConfig,
    stratum_label,
)
from riskmon.config.values import Cron, Duration, FieldPath, Listen, Name, Section

__all__ = [
    "AuthConfig",
    "CalibrateConfig",
    "CascadeJudge",
    "CheckpointExpert",
    "Config",
    "Cron",
    "DevicesConfig",
    "DuplicatesConfig",
    "Duration",
    "EngineConfig",
    "EstimateConfig",
    "ExpertConfig",
    "FieldPath",
    "FieldsConfig",
    "ForecastConfig",
    "HarmConfig",
    "HfClassifierJudge",
    "HfGenerativeJudge",
    "JudgeConfig",
    "KafkaConfig",
    "KafkaSecurity",
    "Listen",
    "LoggingConfig",
    "LoraExpert",
    "ModelConfig",
    "Name",
    "OpenAIJudge",
    "PrefixExpert",
    "PublishConfig",
    "RegexJudge",
    "ReportConfig",
    "RubricJudge",
    "RulesConfig",
    "SamplerConfig",
    "Section",
    "SeekConfig",
    "SharingConfig",
    "SimpleJudge",
    "SmtpConfig",
    "SteeringExpert",
    "StoreConfig",
    "SystemPromptExpert",
    "TemperatureExpert",
    "TlsConfig",
    "ToxicityJudge",
    "TrafficConfig",
    "VllmEngine",
    "WebhookConfig",
    "stratum_label",
]
