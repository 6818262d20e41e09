"""A tiny target, harmful answers of it, and a variant fitted to them from a cold start."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.variants import fit, harmful_examples, variants_target
from support.worlds import tiny_llama

from riskmon.config import CalibrateConfig
from riskmon.estimate.calibrate.examples import Example
from riskmon.estimate.calibrate.lora import FitReport
from riskmon.estimate.model import LanguageModel


@pytest.fixture
def model() -> LanguageModel:
    return variants_target()


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    return harmful_examples(tiny_llama(3), 40)


@pytest.fixture(scope="session")
def cold(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> FitReport:
    """A cold start with the default settings."""
    config = CalibrateConfig(folder=tmp_path_factory.mktemp("cold") / "proposals")
    return fit(variants_target(), examples, config, lineage={"judge": "words@3f"})


@pytest.fixture
def config(tmp_path: Path) -> CalibrateConfig:
    return CalibrateConfig(folder=tmp_path / "proposals", steps=12, evaluate_every=4, batch_size=4)
