"""The target model and its tokenizer: loading, and rendering prompts into token ids.

A model comes from a folder or a hub id, only as safetensors and never with code of its own. Faults of loading become
`ModelUnavailable` with one sentence; faults of one prompt become `PromptFailed` errors that name it by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import orjson
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from riskmon.config import ModelConfig
from riskmon.errors import ModelUnavailable, PromptTooLong, PromptUnsupported
from riskmon.estimate.head import widen_head
from riskmon.records import Message, Prompt

transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model ready for inference.

    Attributes:
        module: the network, in evaluation mode.
        tokenizer: its tokenizer.
        device: where it runs.
        vocab_size: width of its logits.
        stop_ids: tokens that end an answer; each counts as the answer's last token.
        context_length: most tokens of prompt and answer together; None when unlimited.
        chat_template: whether prompts are rendered with the tokenizer's template.
    """

    module: nn.Module
    tokenizer: Any
    device: torch.device
    vocab_size: int
    stop_ids: tuple[int, ...]
    context_length: int | None
    chat_template: bool

    def render(self, prompt: Prompt, system: str | None = None) -> list[int]:
        """Token ids of the context an answer is conditioned on.

        Args:
            prompt: text or messages; tools and their calls go to the template, which may pass over them.
            system: system message put before the prompt; joined with the prompt's own if it has one.

        Raises:
            PromptUnsupported: messages without a chat template, or a shape the template refuses.
        """
        if self.chat_template:
            return self._render_chat(prompt, system)
        if not isinstance(prompt.content, str):
            raise PromptUnsupported(
                prompt.id, f"prompt {prompt.id!r} has chat messages, but model.chat_template is 'none'"
            )
        text = prompt.content if system is None else f"{system}\n{prompt.content}"
        ids: list[int] = self.tokenizer(text)["input_ids"]
        if not ids:
            raise PromptUnsupported(prompt.id, f"prompt {prompt.id!r} has no tokens")
        return ids

    def _render_chat(self, prompt: Prompt, system: str | None) -> list[int]:
        messages = (Message("user", prompt.content),) if isinstance(prompt.content, str) else prompt.content
        if system is not None:
            if messages and messages[0].role == "system":
                system = f"{system}\n\n{messages[0].content}"
                messages = messages[1:]
            messages = (Message("system", system), *messages)
        try:
            ids: list[int] = self.tokenizer.apply_chat_template(
                [_template_turn(message) for message in messages],
                tools=None if prompt.tools is None else orjson.loads(prompt.tools),
                add_generation_prompt=True,
                return_dict=False,
            )
        except Exception as exc:  # noqa: BLE001 - jinja and template code raise anything; the text must not leak
            raise PromptUnsupported(
                prompt.id, f"the chat template refuses prompt {prompt.id!r} ({type(exc).__name__})"
            ) from None
        return ids

    def check_length(self, prompt: Prompt, context: list[int], max_new_tokens: int) -> None:
        """Refuse a prompt whose context and answer overrun the model.

        Raises:
            PromptTooLong: naming the prompt by id and the sizes in tokens.
        """
        if self.context_length is not None and len(context) + max_new_tokens > self.context_length:
            raise PromptTooLong(
                prompt.id,
                f"prompt {prompt.id!r} has {len(context)} tokens; with model.max_new_tokens={max_new_tokens} "
                f"that overruns the model's context of {self.context_length}",
            )


def _template_turn(message: Message) -> dict[str, Any]:
    """A turn as servers hand it to the template: arguments of tool calls as objects, since templates print them so."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        turn["name"] = message.name
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.tool_calls is not None:
        turn["tool_calls"] = [_with_object(call) for call in orjson.loads(message.tool_calls)]
    return turn


def _with_object(call: Any) -> Any:
    """The call with its arguments parsed, none as an empty object; as it is where they are no JSON."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return call
    return {**call, "function": {**function, "arguments": arguments}}


def load_model(config: ModelConfig) -> LanguageModel:
    """Load the target as configured.

    Raises:
        ModelUnavailable: the folder or hub id, its weights or its tokenizer cannot be loaded, the device is not
            there, or a chat template is asked for and the tokenizer has none.
    """
    device = pick_device(config.device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            config.target, revision=config.revision, trust_remote_code=False
        )
    except Exception as exc:  # noqa: BLE001 - transformers raises many kinds
        refuse_to_load("model.target", config.target, exc)
    use_template = config.chat_template == "auto"
    if use_template and not getattr(tokenizer, "chat_template", None):
        raise ModelUnavailable(
            f"model.target {config.target!r} has no chat template; set model.chat_template: none to take prompts "
            "as they stand"
        )
    module = load_module(config.target, config.revision, config.dtype, device, key="model.target")
    stops = getattr(module.generation_config, "eos_token_id", None)
    if stops is None:
        stops = tokenizer.eos_token_id
    return LanguageModel(
        module=module,
        tokenizer=tokenizer,
        device=device,
        vocab_size=int(module.get_output_embeddings().weight.shape[0]),
        stop_ids=() if stops is None else tuple(stops) if isinstance(stops, list) else (int(stops),),
        context_length=getattr(module.config.get_text_config(), "max_position_embeddings", None),
        chat_template=use_template,
    )


def load_module(name: str, revision: str | None, dtype: str, device: torch.device, *, key: str) -> Any:
    """Load a network for inference, its logits in float32; `key` is the configuration key an error names.

    Raises:
        ModelUnavailable: it cannot be loaded, or has no safetensors weights.
    """
    try:
        module: Any = AutoModelForCausalLM.from_pretrained(
            name, revision=revision, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
        module.to(device).eval().requires_grad_(False)
        widen_head(module)
        return module
    except Exception as exc:  # noqa: BLE001 - transformers raises many kinds
        refuse_to_load(key, name, exc)


def pick_device(name: str) -> torch.device:
    """The configured device; `auto` takes a GPU where there is one.

    Raises:
        ModelUnavailable: a GPU is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelUnavailable(
            f"model.device is {name!r}, but torch finds no CUDA device; set it to auto or cpu"
        )
    return torch.device(name)


def refuse_to_load(key: str, name: str, exc: Exception) -> NoReturn:
    """Turn a fault of loading into one sentence; `key` is what an error names.

    Raises:
        ModelUnavailable: always.
    """
    message = str(exc).strip() or type(exc).__name__
    if "trust_remote_code" in message:
        raise ModelUnavailable(
            f"{key} {name!r} comes with code of its own, which riskmon never runs; give a model of an architecture "
            "that transformers has built in"
        ) from exc
    if pickled := _pickled_weights(Path(name)):
        raise ModelUnavailable(
            f"{key} {name!r} holds its weights as {pickled} and not as safetensors; a pickle can run code when it is "
            "read, so it is refused: save the model again with save_pretrained on a machine that trusts it"
        ) from exc
    raise ModelUnavailable(
        f"{key} {name!r} does not load: {message.splitlines()[0][:300]} (give a folder with config.json, tokenizer and "
        "safetensors weights, or a hub id this machine can reach)"
    ) from exc


def _pickled_weights(folder: Path) -> str | None:
    """The first pickled file of a folder without safetensors; None where there is none."""
    if not folder.is_dir() or next(folder.glob("*.safetensors"), None) is not None:
        return None
    found = sorted(file.name for file in folder.iterdir() if file.suffix in {".bin", ".pt", ".pth", ".ckpt"})
    return found[0] if found else None
