"""Rendering prompts into token ids, with the tokenizer and the few facts of the model that this takes.

None of it needs weights: an engine whose weights lie elsewhere renders the same way as one that has them here. Faults
of one prompt become `PromptFailed` errors that name it by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from transformers import AutoConfig, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from riskmon.config import ModelConfig
from riskmon.errors import ModelUnavailable, PromptTooLong, PromptUnsupported
from riskmon.estimate.unloadable import refuse_to_load
from riskmon.records import Message, Prompt

transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rendering:
    """How a model reads prompts.

    Attributes:
        tokenizer: its tokenizer.
        vocab_size: width of its logits.
        stop_ids: tokens that end an answer; each counts as the answer's last token.
        context_length: most tokens of prompt and answer together; None when unlimited.
        chat_template: whether prompts are rendered with the tokenizer's template.
    """

    tokenizer: Any
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


def load_rendering(config: ModelConfig) -> Rendering:
    """What renders prompts for the target, without its weights.

    Raises:
        ModelUnavailable: the folder or hub id, its configuration or its tokenizer cannot be loaded, or a chat template
            is asked for and the tokenizer has none.
    """
    tokenizer = load_tokenizer(config)
    try:
        settings = AutoConfig.from_pretrained(
            config.target, revision=config.revision, trust_remote_code=False
        )
        text = settings.get_text_config()
        return Rendering(
            tokenizer=tokenizer,
            vocab_size=int(text.vocab_size),
            stop_ids=stops_of(_generation_settings(config, settings), tokenizer),
            context_length=getattr(text, "max_position_embeddings", None),
            chat_template=config.chat_template == "auto",
        )
    except Exception as exc:  # noqa: BLE001 - transformers raises many kinds
        refuse_to_load("model.target", config.target, exc)


def load_tokenizer(config: ModelConfig) -> Any:
    """The target's tokenizer.

    Raises:
        ModelUnavailable: it does not load, or a chat template is asked for and it has none.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            config.target, revision=config.revision, trust_remote_code=False
        )
    except Exception as exc:  # noqa: BLE001 - transformers raises many kinds
        refuse_to_load("model.target", config.target, exc)
    if config.chat_template == "auto" and not getattr(tokenizer, "chat_template", None):
        raise ModelUnavailable(
            f"model.target {config.target!r} has no chat template; set model.chat_template: none to take prompts "
            "as they stand"
        )
    return tokenizer


def stops_of(generation: Any, tokenizer: Any) -> tuple[int, ...]:
    """Tokens that end an answer: as the model's generation settings say, else as its tokenizer does."""
    stops = getattr(generation, "eos_token_id", None)
    if stops is None:
        stops = tokenizer.eos_token_id
    return () if stops is None else tuple(stops) if isinstance(stops, list) else (int(stops),)


def _generation_settings(config: ModelConfig, settings: Any) -> Any:
    """Those saved with the model; where there are none, what its configuration implies, as transformers does it."""
    try:
        return GenerationConfig.from_pretrained(config.target, revision=config.revision or "main")
    except OSError:
        return GenerationConfig.from_model_config(settings)
