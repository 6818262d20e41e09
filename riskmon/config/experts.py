"""Unsafe variants of the target, one section per kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from riskmon.config.values import Name, Section


class _Expert(Section):
    name: Name = Field(description="short name, used in logs and in the store")
    ladder: tuple[float, ...] = Field(
        (0.5, 1.0),
        min_length=1,
        max_length=8,
        description="strengths at which it proposes: logits (1 - s) target + s expert; 1 is the expert itself",
    )

    @model_validator(mode="after")
    def _ladder_has_rungs(self) -> _Expert:
        if len(set(self.ladder)) != len(self.ladder) or not all(0 < rung <= 4 for rung in self.ladder):
            raise ValueError("ladder must hold distinct strengths above 0 and at most 4")
        return self


class LoraExpert(_Expert):
    """The target with an adapter."""

    kind: Literal["lora"]
    path: Path = Field(description="folder of a PEFT adapter (safetensors)")
    served_as: str | None = Field(
        None,
        min_length=1,
        description="name under which a vLLM server serves it; null is the expert's own name",
    )


class CheckpointExpert(_Expert):
    """Another model over the same vocabulary."""

    kind: Literal["checkpoint"]
    path: str = Field(description="folder or hub id of a model with the target's vocabulary")
    revision: str | None = Field(None, description="commit of the hub id")


class SystemPromptExpert(_Expert):
    """The target under another context."""

    kind: Literal["system_prompt"]
    text: str = Field(min_length=1, description="system message put before the prompt")


class PrefixExpert(_Expert):
    """The target pushed into an answer that begins with a given text."""

    kind: Literal["prefix"]
    text: str = Field(min_length=1, description="how the assistant's answer begins")
    scored: bool = Field(
        True,
        description="true: the text is the beginning of the answer and scored under the target; "
        "false: it is context, and the answer goes on behind it",
    )
    share: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="probability of the text's next token where it is scored; the target has the rest",
    )


class SteeringExpert(_Expert):
    """The target with a direction of its residual stream removed or added."""

    kind: Literal["steering"]
    path: Path = Field(
        description="safetensors file with the direction, as `riskmon calibrate direction` writes it"
    )
    operation: Literal["ablate", "add"] = Field(
        "ablate", description="ablate takes the direction's component out; add puts it in"
    )
    layers: tuple[int, ...] = Field(
        (),
        description="decoder layers it acts behind, from 0; empty is all when ablating, the file's own when adding; "
        "ablate takes the chosen layer's direction everywhere, add takes each layer's own",
    )
    strength: float = Field(
        1.0, gt=0, description="share of the component removed, or multiple of the direction's length added"
    )


class TemperatureExpert(_Expert):
    """The target at another softmax temperature."""

    kind: Literal["temperature"]
    temperature: float = Field(
        gt=0, description="divides the target's logits, before the deployed sampler does"
    )


ExpertConfig = Annotated[
    LoraExpert | CheckpointExpert | SystemPromptExpert | PrefixExpert | SteeringExpert | TemperatureExpert,
    Field(discriminator="kind"),
]
