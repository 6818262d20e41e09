"""Loading what a judge runs on: a causal model, an adapter on one, or a sequence classifier, with its tokenizer.

Weights come as safetensors and never with code of their own. Judges that name the same model with the same settings
share one copy in memory, so three rubrics on one chat model cost one model. Everything a judge must know about its
model's limits and identity is settled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from weakref import WeakValueDictionary

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils.peft_utils import find_adapter_config_file

from riskmon.errors import ModelUnavailable
from riskmon.estimate.judges.dialogue import Plain
from riskmon.estimate.judges.identity import folder_mark
from riskmon.estimate.model import load_module, pick_device
from riskmon.estimate.unloadable import refuse_to_load

# Some chat templates write today's date into the prompt. A verdict must not depend on the day it is given.
_FIXED_DATE = "{%- macro strftime_now(format) -%}1 January 2025{%- endmacro -%}"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"

Task = Literal["causal", "classifier"]


class NetworkSettings(Protocol):
    """The settings that every judge with a model of its own has; see `riskmon.config.judges`."""

    @property
    def revision(self) -> str | None:
        """Commit of the hub id."""

    @property
    def dtype(self) -> str:
        """Type of the weights."""

    @property
    def device(self) -> str:
        """Where it runs."""


@dataclass(frozen=True, eq=False)
class JudgeNetwork:
    """A judge's model, ready for inference.

    Attributes:
        name: folder or hub id.
        module: the network, in evaluation mode.
        tokenizer: its tokenizer.
        device: where it runs.
        positions: most tokens it can read; None when unlimited.
        revision: commit that was loaded, or the configured one; None for a folder.
        mark: short hash of a folder's files; None for a hub id.
        plain: what keeps prompts and outputs from being read as control tokens.
    """

    name: str
    module: Any
    tokenizer: Any
    device: torch.device
    positions: int | None
    revision: str | None
    mark: str | None
    plain: Plain

    @property
    def identity(self) -> dict[str, str | None]:
        """What of the loaded model changes scores, for `judge_id`."""
        return {"mark": self.mark, "dtype": str(self.module.dtype)}

    def limit(self, max_tokens: int) -> int:
        """Most tokens an input may have under a configured maximum."""
        return max_tokens if self.positions is None else min(max_tokens, self.positions)

    def encode(self, text: str, *, special_tokens: bool) -> list[int]:
        """Token ids of a text, never truncated."""
        # verbose: a warning about the length would be one per output; the limit is checked by the caller.
        ids: list[int] = self.tokenizer(text, add_special_tokens=special_tokens, verbose=False)["input_ids"]
        return ids

    def continuation(self, before: str, after: str, *, special_tokens: bool) -> tuple[int, ...] | None:
        """Token ids of `after` where it stands behind `before`.

        None where it has none of its own: the two melt into other tokens, or a part is unknown to the tokenizer.
        """
        head = self.encode(before, special_tokens=special_tokens)
        whole = self.encode(before + after, special_tokens=special_tokens)
        tail = tuple(whole[len(head) :])
        if whole[: len(head)] != head or not tail or self.tokenizer.unk_token_id in tail:
            return None
        return tail

    def render_chat(self, messages: Sequence[dict[str, str]]) -> str:
        """The messages under the tokenizer's own template, ready for an answer.

        Raises:
            Exception: whatever the template raises on a shape it does not take.
        """
        template = self.tokenizer.get_chat_template()
        text: str = self.tokenizer.apply_chat_template(
            list(messages),
            chat_template=_FIXED_DATE + template if "strftime_now" in template else template,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return text


_loaded: WeakValueDictionary[tuple[str | None, ...], JudgeNetwork] = WeakValueDictionary()


def load_network(
    kind: str, model: str, settings: NetworkSettings, task: Task, base: str | None = None
) -> JudgeNetwork:
    """Load a judge's model, or hand out the copy that another judge loaded.

    Args:
        kind: kind of the judge, named in errors.
        model: folder or hub id of a model, or for `causal` of a PEFT adapter.
        settings: the judge's section of the configuration.
        task: what it is loaded as.
        base: model an adapter belongs to where its own configuration does not say.

    Raises:
        ModelUnavailable: model, tokenizer or adapter do not load, weights are missing or not safetensors, or the
            device is not there.
    """
    mark = folder_mark(model)
    key = (task, model, mark, settings.revision, settings.dtype, settings.device, base)
    network = _loaded.get(key)
    if network is None:
        network = _load(f"judge {kind!r}: model", model, mark, settings, task, base)
        _loaded[key] = network
    return network


def _load(
    key: str, model: str, mark: str | None, settings: NetworkSettings, task: Task, base: str | None
) -> JudgeNetwork:
    try:
        device = pick_device(settings.device)
    except ModelUnavailable:
        raise ModelUnavailable(
            f"{key} {model!r} shall run on {settings.device!r}, but torch finds no CUDA device; set the judge's "
            "device to auto or cpu"
        ) from None
    if task == "classifier":
        module = _load_classifier(key, model, settings, device)
        tokenizer = _load_tokenizer(key, (model,), settings.revision)
    else:
        module, sources = _load_causal(key, model, settings, device, base)
        tokenizer = _load_tokenizer(key, sources, settings.revision)
    return JudgeNetwork(
        name=model,
        module=module,
        tokenizer=tokenizer,
        device=device,
        positions=_positions(module, tokenizer),
        revision=settings.revision or getattr(module.config, "_commit_hash", None),
        mark=mark,
        plain=Plain(token.content for token in tokenizer.added_tokens_decoder.values() if token.special),
    )


def _load_classifier(key: str, model: str, settings: NetworkSettings, device: torch.device) -> nn.Module:
    try:
        module, report = AutoModelForSequenceClassification.from_pretrained(
            model,
            revision=settings.revision,
            dtype=settings.dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as exc:  # noqa: BLE001 - transformers raises many kinds
        refuse_to_load(key, model, exc)
    if report["missing_keys"]:
        # A head without weights is filled at random, and its scores look like any others.
        raise ModelUnavailable(
            f"{key} {model!r} has no weights for {', '.join(sorted(report['missing_keys'])[:3])}; give a model "
            "that was trained as a sequence classifier"
        )
    ready: nn.Module = module.to(device).eval().requires_grad_(False)
    return ready


def _load_causal(
    key: str, model: str, settings: NetworkSettings, device: torch.device, base: str | None
) -> tuple[Any, tuple[str, ...]]:
    """The network, and where its tokenizer may lie, best first."""
    try:
        adapter_config = find_adapter_config_file(model, revision=settings.revision)
    except Exception as exc:  # noqa: BLE001 - the hub client raises many kinds
        refuse_to_load(key, model, exc)
    if adapter_config is None:
        return load_module(model, settings.revision, settings.dtype, device, key=key), (model,)
    from peft import PeftConfig, PeftModel

    folder = Path(adapter_config).parent if Path(model).is_dir() else _download_adapter(key, model, settings)
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        raise ModelUnavailable(
            f"{key} {model!r} is an adapter without {_ADAPTER_WEIGHTS}; pickled adapters are refused, save it "
            "again with safe_serialization=True"
        )
    try:
        base = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path or base
        if base is None:
            raise ModelUnavailable(
                f"{key} {model!r} is an adapter that does not name its base; name it in base_model_name_or_path "
                "of its adapter_config.json"
            )
        network = load_module(base, None, settings.dtype, device, key=f"{key} {model!r}: its base")
        adapted = PeftModel.from_pretrained(network, str(folder), is_trainable=False)
        return adapted.to(device).eval().requires_grad_(False), (model, base)
    except ModelUnavailable:
        raise
    except Exception as exc:  # noqa: BLE001 - peft raises many kinds
        refuse_to_load(key, model, exc)


def _download_adapter(key: str, model: str, settings: NetworkSettings) -> Path:
    """The adapter's files without pickled ones."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                model, revision=settings.revision, allow_patterns=["adapter_config.json", _ADAPTER_WEIGHTS]
            )
        )
    except Exception as exc:  # noqa: BLE001 - the hub client raises many kinds
        refuse_to_load(key, model, exc)


def _load_tokenizer(key: str, sources: tuple[str, ...], revision: str | None) -> Any:
    """The first tokenizer that loads; the revision belongs to the first source."""
    source, *others = sources
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    except Exception as exc:  # noqa: BLE001 - transformers raises many kinds
        if others:
            return _load_tokenizer(key, tuple(others), None)
        refuse_to_load(f"{key}: tokenizer of", source, exc)
    if tokenizer.pad_token_id is None:
        # Padded places are masked: any token serves.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def _positions(module: Any, tokenizer: Any) -> int | None:
    """Most tokens the network can read: by its configuration, its position table and its tokenizer."""
    limits = [int(tokenizer.model_max_length)] if tokenizer.model_max_length < 1e9 else []
    configured = getattr(module.config.get_text_config(), "max_position_embeddings", None)
    if configured is not None and configured > 0:
        limits.append(int(configured))
    for name, part in module.named_modules():
        if (
            name.endswith("position_embeddings")
            and isinstance(part, nn.Embedding)
            and part.padding_idx is not None
        ):
            # RoBERTa and its kin count positions from behind the padding's own.
            limits.append(part.num_embeddings - part.padding_idx - 1)
    return min(limits, default=None)
