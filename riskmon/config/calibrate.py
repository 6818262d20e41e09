"""How unsafe variants are built by `riskmon calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from riskmon.config.values import Section


class CalibrateConfig(Section):
    """How `riskmon calibrate` builds unsafe variants."""

    folder: Path = Field(
        Path("proposals"), description="where variants are written, mode 0700; nothing leaves it"
    )
    rank: int = Field(8, ge=1, description="rank of a LoRA adapter")
    alpha: float = Field(16, gt=0, description="scale of a LoRA adapter, divided by its rank")
    target_modules: tuple[str, ...] = Field(
        (), description="linear layers that are adapted; empty is all of them but the output layer"
    )
    steps: int = Field(
        60,
        ge=1,
        description="most optimiser steps; a fit ends earlier after three looks without a better step",
    )
    learning_rate: float = Field(3e-4, gt=0, description="step size of AdamW")
    batch_size: int = Field(8, ge=1, description="answers per optimiser step")
    validation_share: float = Field(
        0.2, gt=0, lt=1, description="share of the examples held out to choose the step that is kept"
    )
    hold_out: Literal["prompts", "answers"] = Field(
        "prompts",
        description="prompts holds out whole prompts, for a variant that is to serve new ones; answers suits a variant "
        "for the very prompts it is fitted to",
    )
    evaluate_every: int = Field(
        10, ge=1, description="optimiser steps between two looks at the held-out answers"
    )
    anchor: float = Field(
        0.1,
        ge=0,
        description="weight of the divergence from the target in the fit: a gentle variant keeps weights light",
    )
