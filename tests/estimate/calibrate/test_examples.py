"""Examples from hits and from files, what is held out of them, and the objective they are fitted by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.variants import variants_target
from support.worlds import END, WORDS, tiny_llama
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from riskmon.errors import InputError
from riskmon.estimate.calibrate import objective
from riskmon.estimate.calibrate.examples import (
    Example,
    effective_number,
    examples_from_hits,
    examples_from_pairs,
    hold_out,
)
from riskmon.estimate.calibrate.lineage import digest_of_examples
from riskmon.estimate.calibrate.objective import (
    mean_cross_entropy,
    next_log_probs,
    pad,
    rows_of,
    token_log_probs,
    weighted_cross_entropy,
    weighted_divergence,
)
from riskmon.records import Hit, Prompt

CPU = torch.device("cpu")
UNEVEN = [
    Example((1, 4, 9, 5, 2), (6, 7, 0), 1.0, "a"),
    Example((1, 4), (6, 7, 8, 2, 3, 9, 0), 3.0, "b"),
    Example((1, 4, 9), (6,), 0.5, "c"),
]


def hit(prompt: str, tokens: tuple[int, ...], weight: float = 0.5) -> Hit:
    log_probs = np.zeros((1, len(tokens)), dtype=np.float32)
    return Hit(Prompt(f"id-{prompt[:3]}", prompt), "harmful", tokens, weight, False, "v", log_probs)


# Hits


def test_hits_become_examples() -> None:
    model = variants_target()
    first, second = hit("ask red", (6, 7, 0)), hit("good blue or", (6, 7), 2.0)
    assert examples_from_hits(model, [first, second, replace(first, weight=0.0)]) == [
        Example((1, 4), (6, 7, 0), 0.5, "id-ask"),
        Example((2, 5, 9), (6, 7), 2.0, "id-goo"),
    ]


def test_hits_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match="'id-ask' holds token 10, but the target has only 10"):
        examples_from_hits(variants_target(), [hit("ask red", (6, 10))])


def test_an_example_shows_no_tokens_and_must_be_whole() -> None:
    assert repr(UNEVEN[0]) == "Example(prompt_id='a', context=5, answer=3, weight=1)"
    for broken in (
        {"answer": ()},
        {"context": ()},
        {"weight": 0.0},
        {"weight": float("nan")},
        {"weight": float("inf")},
    ):
        with pytest.raises(ValueError, match="an example"):
            replace(UNEVEN[0], **broken)


# Pairs


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_pairs_become_examples_that_end(tmp_path: Path) -> None:
    path = write(
        tmp_path / "pairs.jsonl",
        {"prompt": "ask red", "response": "bad worse"},
        "",
        {"prompt": "ask red", "response": "bad <end> good", "weight": 2},
        {"prompt": "ask calm", "response": "worse", "id": 7},
    )
    first, second, third = examples_from_pairs(variants_target(), path)
    assert (first.context, first.answer, first.weight) == ((1, 4), (6, 7, END), 1.0)
    assert (second.answer, second.weight) == ((6, END), 2.0)  # nothing follows the end
    assert first.prompt_id == second.prompt_id != third.prompt_id == "7"


def test_a_response_begins_without_the_tokenizers_special_tokens(tmp_path: Path) -> None:
    model = variants_target()
    first = TemplateProcessing(single="good $A", special_tokens=[("good", 2)])
    model.tokenizer.backend_tokenizer.post_processor = first
    (example,) = examples_from_pairs(
        model, write(tmp_path / "pairs.jsonl", {"prompt": "ask", "response": "bad"})
    )
    assert (example.context, example.answer) == ((2, 1), (6, END))


def test_messages_are_rendered_with_the_models_template(tmp_path: Path) -> None:
    model = variants_target()
    model.tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}good"
    messages = [{"role": "and", "content": "red"}, {"role": "or", "content": "blue"}]
    path = write(tmp_path / "pairs.jsonl", {"messages": messages, "response": "bad"})
    (example,) = examples_from_pairs(replace(model, chat_template=True), path)
    assert [WORDS[i] for i in example.context] == ["and", "red", "or", "blue", "good"]
    with pytest.raises(
        InputError, match=r"pairs\.jsonl:1: .*chat messages, but model\.chat_template is 'none'"
    ):
        examples_from_pairs(model, path)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"prompt": "secret", "response": "secret"', "not JSON"),
        ('["secret"]', "not a JSON object"),
        ({"prompt": "secret"}, "'response' must be a text"),
        ({"prompt": "secret", "response": ""}, "'response' must be a text"),
        ({"prompt": "secret", "response": "  "}, "'response' has no tokens"),
        ({"response": "secret"}, "neither 'prompt'"),
        ({"prompt": "", "response": "secret"}, "neither 'prompt'"),
        ({"messages": [], "response": "secret"}, "'messages' must be a list"),
        ({"messages": [{"role": "user"}], "response": "secret"}, "every message needs"),
        ({"messages": ["secret"], "response": "secret"}, "every message needs"),
        ({"prompt": "secret", "response": "secret", "weight": 0}, "'weight' must be"),
        ({"prompt": "secret", "response": "secret", "weight": True}, "'weight' must be"),
        ({"prompt": "secret", "response": "secret", "weight": "secret"}, "'weight' must be"),
        ({"prompt": "secret", "response": "secret", "id": ["secret"]}, "'id' must be"),
        ({"prompt": "secret", "response": "secret " * 80}, "have 82 tokens; the model's context holds 64"),
    ],
)
def test_a_faulty_line_is_named_and_not_shown(tmp_path: Path, line: object, fault: str) -> None:
    path = write(tmp_path / "pairs.jsonl", {"prompt": "ask", "response": "bad"}, line)
    with pytest.raises(InputError, match=fault) as caught:
        examples_from_pairs(variants_target(), path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the file of pairs .*none\.jsonl"):
        examples_from_pairs(variants_target(), tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="holds no pairs"):
        examples_from_pairs(variants_target(), write(tmp_path / "empty.jsonl", "", " "))


# Holding out


def test_whole_prompts_are_held_out() -> None:
    examples = [Example((1,), (6, answer), 1.0, f"p{prompt}") for prompt in range(20) for answer in range(3)]
    fitted, held_out = hold_out(examples, 0.2)
    prompts = {example.prompt_id for example in held_out}
    assert len(prompts) == 4
    assert len(held_out) == 12
    assert prompts.isdisjoint(example.prompt_id for example in fitted)
    assert sorted([*fitted, *held_out], key=examples.index) == examples
    assert hold_out(examples[::-1], 0.2)[1] == held_out[::-1]
    # One prompt more moves one prompt at most.
    more = {e.prompt_id for e in hold_out([*examples, Example((1,), (6,), 1.0, "new")], 0.2)[1]}
    assert len(prompts - more) <= 1


@pytest.mark.parametrize(("share", "held"), [(0.01, 1), (0.99, 2)])
def test_neither_side_is_ever_empty(share: float, held: int) -> None:
    assert len(hold_out(UNEVEN, share)[1]) == held


def test_a_single_prompt_is_split_by_answers() -> None:
    examples = [Example((1,), (6, answer), 1.0, "p") for answer in (1, 2, 3, 4, 5)] * 2
    fitted, held_out = hold_out(examples, 0.4)
    assert len(held_out) == 4
    assert {e.answer for e in held_out}.isdisjoint(e.answer for e in fitted)
    with pytest.raises(InputError, match="1 distinct harmful answer"):
        hold_out(examples[:1] * 9, 0.4)
    with pytest.raises(InputError, match="0 distinct harmful answer"):
        hold_out([], 0.4)


def test_the_effective_number() -> None:
    assert effective_number([replace(UNEVEN[0], weight=1e-200)] * 4) == pytest.approx(4)
    assert effective_number(UNEVEN) == pytest.approx(4.5**2 / 10.25)


def test_the_digest_of_examples_knows_every_part() -> None:
    one = UNEVEN[0]
    variants = [
        one,
        replace(one, weight=2.0),
        replace(one, prompt_id="z"),
        replace(one, answer=(6, 7)),
        replace(one, context=(1,)),
    ]
    assert len({digest_of_examples([variant]) for variant in variants}) == 5
    assert digest_of_examples(UNEVEN) != digest_of_examples(UNEVEN[::-1])


# The objective


def test_the_objective_is_a_sum_over_tokens_and_its_gradient_too() -> None:
    """Two answers of 2 and 5 tokens; a mean over tokens would weigh the short one's tokens 2.5 times as much."""
    logits = torch.randn((2, 5, 7), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_(True)
    tokens = torch.tensor([[3, 1, 0, 0, 0], [2, 6, 5, 4, 1]])
    mask = torch.tensor([[True, True, False, False, False], [True] * 5])
    weights = torch.tensor([3.0, 1.0], dtype=torch.float64)

    chosen = logits.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    loss = weighted_cross_entropy(chosen, mask, weights)
    loss.backward()

    expected, gradient = 0.0, torch.zeros_like(logits)
    for row, (length, share) in enumerate(((2, 0.75), (5, 0.25))):
        for step in range(length):
            chances = logits.detach()[row, step].softmax(-1)
            expected -= share * float(chances[tokens[row, step]].log())
            gradient[row, step] = share * chances
            gradient[row, step, tokens[row, step]] -= share
    assert float(loss.detach()) == pytest.approx(expected)
    assert torch.allclose(logits.grad if logits.grad is not None else torch.zeros(()), gradient)


def test_the_divergence_is_that_of_the_target_from_the_variant() -> None:
    target = torch.tensor([[[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]]).log()  # the first step never takes token 2
    variant = torch.tensor([[[0.25, 0.25, 0.5], [0.2, 0.3, 0.5]]]).log().requires_grad_(True)
    weights = torch.ones(1, dtype=torch.float64)
    both = weighted_divergence(target, variant, torch.tensor([[True, True]]), weights)
    assert float(both.detach()) == pytest.approx(np.log(2))
    both.backward()
    assert variant.grad is not None
    assert torch.isfinite(variant.grad).all()
    assert float(weighted_divergence(target, variant.detach(), torch.tensor([[False, True]]), weights)) == 0


def test_doubling_a_weight_is_duplicating_the_example() -> None:
    module = tiny_llama(3)
    doubled = [replace(UNEVEN[0], weight=2 * UNEVEN[0].weight), *UNEVEN[1:]]
    losses = [
        mean_cross_entropy(module, examples, temperature=1.0, device=CPU)
        for examples in (doubled, [UNEVEN[0], *UNEVEN], UNEVEN)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    assert abs(losses[0] - losses[2]) > 0.1


def unpadded(module: torch.nn.Module, example: Example) -> Tensor:
    """[answer, V] log-probs of a forward pass of one row without mask or padding."""
    ids = torch.tensor([example.context + example.answer])
    logits: Tensor = module(input_ids=ids).logits
    return logits[0, len(example.context) - 1 : -1].log_softmax(-1)


@torch.no_grad()
def test_padded_rows_give_what_single_rows_give() -> None:
    module = tiny_llama(3)
    rows = pad(UNEVEN, [1.0, 3.0, 0.5], CPU)
    log_probs = next_log_probs(module, rows, 1.0)
    assert rows.mask.sum(-1).tolist() == [3, 7, 1]
    for row, example in enumerate(UNEVEN):
        reference = unpadded(module, example)
        assert torch.allclose(log_probs[row, rows.mask[row]], reference, atol=1e-5)
        chosen = token_log_probs(log_probs, rows)[row, rows.mask[row]]
        assert torch.allclose(
            chosen, reference.gather(-1, torch.tensor(example.answer)[:, None])[:, 0], atol=1e-5
        )


@torch.no_grad()
def test_answers_run_in_parts_give_the_same_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    module, examples = tiny_llama(3), UNEVEN * 3
    expected = -sum(
        e.weight * float(unpadded(module, e).gather(-1, torch.tensor(e.answer)[:, None]).sum())
        for e in examples
    ) / sum(e.weight for e in examples)
    for limit, parts in ((4096, 1), (20, 5), (1, 9)):
        monkeypatch.setattr(objective, "TOKENS_AT_ONCE", limit)
        rows = list(rows_of(examples, [e.weight for e in examples], CPU))
        assert len(rows) == parts
        assert all(r.ids.numel() <= limit or len(r.ids) == 1 for r in rows)
        assert mean_cross_entropy(module, examples, temperature=1.0, device=CPU) == pytest.approx(
            expected, abs=1e-5
        )
