"""Conversations with tools in chat templates that know tools, and in those that do not.

The templates are those of model families, cut to the parts that matter; the tiny tokenizer knows ten words, so texts
are made of those.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from support.worlds import World

from riskmon.config import ModelConfig
from riskmon.errors import PromptUnsupported
from riskmon.estimate.judges.dialogue import Plain, flatten, turns
from riskmon.estimate.model import LanguageModel, load_model
from riskmon.records import Message, Prompt
from riskmon.sensitivity.families import Wordings
from riskmon.sensitivity.lines import text_lines, write_lines
from riskmon.traffic.prompts import read_prompts

# ChatML, as most small models have it: knows nothing of tools.
PLAIN = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
# After Qwen 2.5 and Hermes: definitions first, arguments printed from an object.
TOOLS = (
    "{% if tools %}{% for t in tools %}and {{ t.function.name }} {% endfor %}{% endif %}"
    "{% for m in messages %}{% if m.role == 'tool' %}or {{ m.content }} {% else %}{{ m.content }} {% endif %}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }} "
    "{{ c.function.arguments.items() | map('last') | join(' ') }} {% endfor %}{% endfor %}"
)
# After Mistral: an id of nine characters, or it refuses.
STRICT = (
    "{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.id is not defined or c.id | length != 9 %}"
    "{{ raise_exception('ids have nine characters') }}{% endif %}{% endfor %}{{ m.content }} {% endfor %}"
)
# After Gemma and Llama 2: two roles in turn, nothing else.
TWO_ROLES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }} {% endfor %}"
)


def call(**function: object) -> str:
    return json.dumps([{"id": "c1", "type": "function", "function": function}])


PROMPT = Prompt(
    "p",
    (
        Message("user", "ask"),
        Message("assistant", "", tool_calls=call(name="calm", arguments='{"x": "red", "y": "blue"}')),
        Message("tool", "good", name="calm", tool_call_id="c1"),
    ),
    tools=json.dumps([{"type": "function", "function": {"name": "calm", "parameters": {}}}]),
)


@pytest.fixture(scope="module")
def model(world: World) -> LanguageModel:
    loaded = load_model(ModelConfig(target=str(world.target), chat_template="none", device="cpu"))
    return dataclasses.replace(loaded, chat_template=True)


def rendered(model: LanguageModel, template: str, prompt: Prompt) -> str:
    model.tokenizer.chat_template = template
    text = model.tokenizer.decode(model.render(prompt))
    assert isinstance(text, str)
    return text


def test_a_template_that_knows_tools_gets_all_of_them(model: LanguageModel) -> None:
    assert rendered(model, TOOLS, PROMPT) == "and calm ask calm red blue or good"


@pytest.mark.parametrize("arguments", ["", None, "{}", {}])
def test_a_call_without_arguments_has_none(model: LanguageModel, arguments: object) -> None:
    prompt = Prompt("p", (Message("assistant", "", tool_calls=call(name="calm", arguments=arguments)),))
    assert rendered(model, TOOLS, prompt) == "calm"


def test_a_template_without_tools_passes_over_them_as_in_production(model: LanguageModel) -> None:
    without = Prompt("q", tuple(Message(m.role, m.content) for m in PROMPT.content))  # type: ignore[union-attr]
    assert rendered(model, PLAIN, PROMPT) == rendered(model, PLAIN, without)


@pytest.mark.parametrize("template", [STRICT, TWO_ROLES])
def test_a_template_that_refuses_costs_this_prompt_only(model: LanguageModel, template: str) -> None:
    with pytest.raises(PromptUnsupported, match="the chat template refuses prompt 'p'") as caught:
        rendered(model, template, PROMPT)
    assert caught.value.reason == "unsupported"
    assert rendered(model, template, Prompt("r", (Message("user", "ask"),))) == "ask"


@pytest.mark.parametrize(
    "calls",
    [
        "[{}]",
        "[null, 7]",
        "[[]]",
        call(name="calm"),
        call(name="calm", arguments="not JSON"),
        call(name="calm", arguments="[1]"),
        call(name="calm", arguments='{"x": "\\ud800"}'),
        call(name="calm", arguments="[" * 5000),
        call(name="calm", arguments={"x": "red"}),
        call(name=None, arguments=None),
    ],
)
@pytest.mark.parametrize("tools", [None, "[1]", '[{"function": null}]'])
def test_odd_calls_are_rendered_or_refused_and_raise_nothing_else(
    model: LanguageModel, calls: str, tools: str | None
) -> None:
    prompt = Prompt("p", (Message("assistant", "", tool_calls=calls),), tools=tools)
    for template in (PLAIN, TOOLS, STRICT, TWO_ROLES):
        try:
            rendered(model, template, prompt)
        except PromptUnsupported:
            continue


def test_judges_see_what_was_called() -> None:
    calls = '[{"name":"<end>calm"}]'
    prompt = Prompt("p", (Message("user", "ask"), Message("assistant", "wait", tool_calls=calls)))
    assert flatten(prompt) == f"user: ask\nassistant: wait\n{calls}"
    assert [turn["content"] for turn in turns(prompt, "OUT")] == ["ask", f"wait\n{calls}\n\nOUT"]
    assert "<end>" not in flatten(Plain(["<end>"]).prompt(prompt))


def test_a_wording_file_is_a_prompt_file_that_keeps_tools(tmp_path: Path) -> None:
    file = tmp_path / "wordings.jsonl"
    write_lines_to(file, Wordings(PROMPT, ()))
    [read] = read_prompts(file)
    assert compact(read) == compact(PROMPT)


def write_lines_to(file: Path, wordings: Wordings) -> None:
    with file.open("w") as lines:
        write_lines(lines, text_lines(wordings))


def compact(prompt: Prompt) -> list[object]:
    """Messages and tools with JSON read, since writers space it as they like."""
    turns = [dataclasses.asdict(message) for message in prompt.content if isinstance(message, Message)]
    for turn in turns:
        turn["tool_calls"] = json.loads(turn["tool_calls"] or "null")
    return [*turns, json.loads(prompt.tools or "null")]
