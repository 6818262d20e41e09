"""Where tokens are made: on this machine, or by a vLLM server; and what the latter cannot serve.

riskmon needs the exact log-probability of every token under every distribution that it draws from. A vLLM server gives
that of given tokens under the logits of one network, before temperature and truncation. So it can serve the target
under a plain sampler, the target in another context, and adapters at full strength. Everything else is refused here,
before anything is loaded: an estimate from densities that are nearly right would be wrong without a sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr

from riskmon.config.estimate import SharingConfig
from riskmon.config.experts import ExpertConfig, LoraExpert, PrefixExpert, SystemPromptExpert
from riskmon.config.values import Duration, Section

if TYPE_CHECKING:
    from riskmon.config.model import ModelConfig, SamplerConfig

_REMEDY = "or take model.engine kind local"


class LocalEngine(Section):
    """Weights in this process, on its device."""

    kind: Literal["local"] = "local"


class VllmEngine(Section):
    """A vLLM server that has the weights; see docs/vllm.md."""

    kind: Literal["vllm"]
    url: str = Field(
        "http://127.0.0.1:8000/v1",
        pattern=r"^https?://",
        description="base URL of the server, with its version",
    )
    model: str | None = Field(
        None,
        min_length=1,
        description="name under which it serves the target; null is what model.target says",
    )
    api_key: SecretStr | None = Field(None, description="key of the server; better given by the environment")
    timeout: Duration = Field(
        timedelta(minutes=5),
        description="longest wait for a connection, and for an answer, which comes in one piece",
    )
    retries: int = Field(5, ge=0, le=20, description="further tries after a failure that may pass")
    concurrency: int = Field(64, ge=1, le=1024, description="requests under way at once")


EngineConfig = Annotated[LocalEngine | VllmEngine, Field(discriminator="kind")]


def check_engine(model: ModelConfig, experts: Sequence[ExpertConfig], sharing: SharingConfig) -> None:
    """What the configured engine must be able to serve.

    Raises:
        ValueError: it is not; the message says what was found, what is allowed and what to do.
    """
    if not isinstance(model.engine, VllmEngine):
        return
    _check_sampler(model.sampler)
    if sharing.max_utilization is not None:
        raise ValueError(
            "estimate.sharing.max_utilization looks at the GPU of this machine, which a vLLM server's need not be; set "
            f"it to null, {_REMEDY}"
        )
    for expert in experts:
        _check_expert(expert)


def _check_sampler(sampler: SamplerConfig) -> None:
    plain = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
    for key, value in plain.items():
        if (found := getattr(sampler, key)) != value:
            raise ValueError(
                f"model.sampler.{key} is {found:g}, but a vLLM server gives log-probs from before the sampler, so it "
                f"must be {value:g} with model.engine kind vllm; set it so if that is what is deployed, {_REMEDY}"
            )


def _check_expert(expert: ExpertConfig) -> None:
    if not isinstance(expert, LoraExpert | SystemPromptExpert | PrefixExpert):
        raise ValueError(
            f"expert {expert.name!r} is of kind {expert.kind}, whose exact density a vLLM server does not give; it can "
            f"serve lora, system_prompt, and prefix with scored: false; remove the expert, {_REMEDY}"
        )
    if isinstance(expert, PrefixExpert) and expert.scored:
        raise ValueError(
            f"expert {expert.name!r} is a prefix with scored: true, which a vLLM server cannot draw along; set scored: "
            f"false, {_REMEDY}"
        )
    if expert.ladder != (1.0,):
        rungs = ", ".join(f"{rung:g}" for rung in expert.ladder)
        raise ValueError(
            f"expert {expert.name!r} has the strengths [{rungs}], but strengths other than 1 lie between two networks' "
            f"logits, which a vLLM server does not mix; set ladder: [1.0], {_REMEDY}"
        )
