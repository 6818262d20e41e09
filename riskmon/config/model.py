"""The deployed model and its sampler."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from riskmon.config.engines import EngineConfig, LocalEngine
from riskmon.config.values import Device, Dtype, Section


class SamplerConfig(Section):
    """The deployed sampler; the estimate is about this sampler and no other."""

    temperature: float = Field(1.0, gt=0, description="softmax temperature of the deployment")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus mass; 1 keeps all")
    top_k: int = Field(0, ge=0, description="tokens kept by rank; 0 keeps all")
    min_p: float = Field(
        0.0, ge=0, lt=1, description="smallest probability kept, relative to the best; 0 keeps all"
    )


class ModelConfig(Section):
    """The deployed model, as it is deployed."""

    target: str = Field(description="folder or hub id of the deployed model")
    revision: str | None = Field(None, description="commit of the hub id; pin it in production")
    dtype: Dtype = "auto"
    device: Device = "auto"
    engine: EngineConfig = Field(
        LocalEngine(),
        description="where tokens are made; with a server, dtype, device and batch_rows are its own",
    )
    max_new_tokens: int = Field(150, ge=1, description="token cap T of an answer; harm is measured within it")
    batch_rows: int = Field(0, ge=0, description="rows decoded at once; 0 takes as many as fit into memory")
    decoding: Literal["auto", "eager", "graphs", "compiled"] = Field(
        "auto",
        description="how the local engine takes a step: eager launches kernels as they come; graphs pads steps to "
        "fixed shapes, which CUDA records once and replays; compiled runs the same through torch.compile, which takes "
        "minutes at first; auto is graphs on CUDA and eager elsewhere",
    )
    merge_adapters: Literal["auto", "never", "always"] = Field(
        "auto",
        description="whether a lora expert gets a copy of the weights that it changes, added up beforehand: auto does "
        "so on CUDA as long as copies take at most half of memory_share, always wherever the adapter can be merged; an "
        "unmerged one costs further kernels in every layer",
    )
    memory_share: float = Field(
        0.7,
        gt=0,
        le=1,
        description="share of the GPU memory that is free once the model is loaded that a batch may fill",
    )
    sampler: SamplerConfig = Field(SamplerConfig(), description="the deployed sampler")
    chat_template: Literal["auto", "none"] = Field(
        "auto", description="auto uses the tokenizer's template; none takes the prompt text as it stands"
    )
