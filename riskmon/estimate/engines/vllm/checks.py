"""What a server must show before anything is estimated with it.

- It has the target and every adapter by name, and an adapter's name is not the target's.
- A text has the same token ids there as here: ids go in and come out, so the vocabularies must be one.
- Answers to the calibration prompts, drawn from every voice, get the same log-probs when they are scored. A server that
  draws and scores by different rules (a sampler of its own, a speculative decoder that accepts too much) is found out.
- Tokens of the target come as often as their log-probs say. With p_t the probability of the likeliest token at step t
  and a_t whether it was drawn, the sum of a_t - p_t has mean 0 and variance sum p_t (1 - p_t), wherever answers end.
  A sampler, a watermark or a logits processor of the server's changes the first and not the second. No other check here
  would see that: drawing and scoring still tell the same log-probs.
- Every expert differs from the target: on the target's own answers, the mean absolute difference of log-probs between
  the two, per token, is above what drawing and scoring one of them differ by. A server that knows an adapter's name and
  ignores its weights is found out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.errors import ExpertUnusable, ModelUnavailable
from riskmon.estimate.contrast import CALIBRATION_PROMPTS
from riskmon.estimate.engines.base import Engine
from riskmon.estimate.engines.vllm.protocol import Drawing, read_likeliest, text_body
from riskmon.estimate.engines.vllm.server import Served, VllmServer
from riskmon.estimate.proposals import Proposal
from riskmon.estimate.rendering import Rendering
from riskmon.estimate.streams import prompt_stream

# Answers per calibration prompt and voice.
_ANSWERS = 4
# For the likeliest token's frequency: answers per calibration prompt, tokens of each, standard errors it may be off.
_OFTEN = 16
_STEPS = 64
_FAR_OFF = 5.0
_ROUNDING = 1e-4
# Several scripts, digits, white space: vocabularies that differ, differ here.
_TEXT = "Straße, naïve café;\n\tx_1 = 0.25 ** -3 # 你好, мир 🙂"


@dataclass(frozen=True, slots=True)
class Probe:
    """What drawing and scoring a few answers showed.

    Attributes:
        path_discrepancy: largest |drawn - scored| log-prob of an answer, under the voice that drew it.
        noise: mean absolute difference of the same per token, of the target's answers.
        contrasts: expert name -> mean absolute difference per token between its log-probs and the target's, on the
            target's answers.
    """

    path_discrepancy: float
    noise: float
    contrasts: dict[str, float]


def check_names(served: Mapping[str, Served], target: str, adapters: Mapping[str, str], place: str) -> None:
    """The target and the adapters are there.

    Args:
        served: what the server has. target: name there. adapters: expert name -> name there.

    Raises:
        ModelUnavailable: one is not, or an adapter is the target.
    """
    names = ", ".join(repr(name) for name in served) or "nothing"
    if target not in served:
        raise ModelUnavailable(
            f"the vLLM server at {place} serves {names}, but not {target!r}; set model.engine.model to one of these"
        )
    for expert, name in adapters.items():
        if name not in served:
            raise ModelUnavailable(
                f"expert {expert!r}: the vLLM server at {place} serves {names}, but not {name!r}; start it with "
                f"--enable-lora --lora-modules {name}=FOLDER, or set the expert's served_as"
            )
        if served[name].parent is None:
            raise ExpertUnusable(
                f"expert {expert!r}: {name!r} at the vLLM server is no adapter but a model of its own; set served_as "
                "to the name of the adapter there"
            )


def check_vocabulary(server: VllmServer, target: str, rendering: Rendering) -> None:
    """A text has the same token ids at the server as here.

    Raises:
        ModelUnavailable: it has not, or the server does not say.
        WorkerLost: the server is away.
    """
    here: list[int] = rendering.tokenizer(_TEXT, add_special_tokens=False)["input_ids"]
    choices = server.complete(text_body(target, _TEXT), "vocabulary check")
    there = choices[0].get("prompt_token_ids") if choices else None
    if there is None:
        raise ModelUnavailable(
            f"the vLLM server at {server.place} does not say the token ids of a text; riskmon needs one that knows "
            "return_token_ids, such as vLLM 0.32"
        )
    if there != here:
        raise ModelUnavailable(
            f"the vLLM server at {server.place} reads a text as {len(there)} tokens that are not the {len(here)} of "
            "model.target's tokenizer; give both the same model and revision"
        )


def probe(engine: Engine, max_new_tokens: int, seed: int) -> Probe:
    """Draw a few answers to each calibration prompt from every voice, and score them all.

    Raises:
        PromptFailed: a calibration prompt cannot be drawn from.
        WorkerLost: the server is away.
    """
    voices = len(engine.voices)
    proposals = [Proposal(voice, 0, max_new_tokens) for voice in range(voices)]
    counts = np.full(voices, _ANSWERS)
    worst, noise, apart = 0.0, [], []
    for prompt in CALIBRATION_PROMPTS:
        drawn = engine.draw(prompt, proposals, counts, prompt_stream(seed, prompt.id))
        answers = [row[:n].tolist() for row, n in zip(drawn.tokens, drawn.lengths, strict=True)]
        scored = engine.score(prompt, answers)  # [voices, n, T]
        rows = np.arange(len(drawn))
        difference = drawn.token_log_probs[drawn.proposal, rows] - scored[drawn.proposal, rows]  # [n, T]
        worst = max(worst, float(np.abs(difference.sum(axis=1)).max()))
        said = np.arange(max_new_tokens) < drawn.lengths[:_ANSWERS, None]  # the target's rows come first
        noise.append(np.abs(difference[:_ANSWERS][said]))
        apart.append(np.abs(scored[1:, :_ANSWERS] - scored[0, :_ANSWERS])[:, said])
    engine.take_overhead()  # belongs to no prompt
    means = np.concatenate(apart, axis=1).mean(axis=1)
    contrasts = dict(zip(engine.expert_names[1:], map(float, means), strict=True))
    return Probe(worst, float(np.concatenate(noise).mean()), contrasts)


def check_frequencies(
    server: VllmServer, rendering: Rendering, target: str, max_new_tokens: int, seed: int
) -> float:
    """How many standard errors the likeliest token's frequency is off its log-probs.

    Raises:
        ModelUnavailable: by too many, or what it tells are no log-probs.
        PromptFailed, WorkerLost: as `VllmServer.complete`; a calibration prompt is too long.
    """
    drawn: list[bool] = []
    best: list[float] = []
    for prompt in CALIBRATION_PROMPTS:
        start = int(prompt_stream(seed, prompt.id, 1).integers(2**62))
        context = rendering.render(prompt)
        rendering.check_length(prompt, context, max_new_tokens)
        drawing = Drawing(target, context, _OFTEN, start, min(_STEPS, max_new_tokens))
        choices = server.complete(drawing.body(rendering.stop_ids, likeliest=True), prompt.id)
        for log_prob, likeliest in read_likeliest(choices):
            drawn.append(log_prob >= likeliest)
            best.append(math.exp(likeliest))
    p = np.array(best)
    if p.max() > 1 + _ROUNDING:
        raise ModelUnavailable(
            f"the vLLM server at {server.place} gives log-probabilities above 0; start it without --logprobs-mode, or "
            "with raw_logprobs"
        )
    spread = math.sqrt(max(0.0, float((p * (1 - p)).sum())))
    off = float(np.sum(drawn) - p.sum()) / spread if spread else 0.0
    if abs(off) > _FAR_OFF:
        raise ModelUnavailable(
            f"the vLLM server at {server.place} draws its likeliest token in {np.mean(drawn):.1%} of {len(p)} steps, "
            f"where its log-probs say {p.mean():.1%}; start it without logits processors and watermark"
        )
    return off


def require_agreement(found: Probe, tolerance: float, place: str) -> None:
    """Drawing and scoring agree.

    Raises:
        ModelUnavailable: an answer's log-probs differ by more than the tolerance.
    """
    if not found.path_discrepancy <= tolerance:
        raise ModelUnavailable(
            f"{place} draws and scores by different log-probs: {found.path_discrepancy:.3g} nats apart on an answer to "
            f"a calibration prompt, where estimate.path_tolerance allows {tolerance:g}; serve with --dtype float32 and "
            "without speculative decoding, or raise the tolerance if this is the rounding of a narrow dtype"
        )


def require_contrast(found: Probe, names: Sequence[str]) -> None:
    """The named experts differ from the target.

    Raises:
        ExpertUnusable: one does not, by more than the server's own rounding.
    """
    for name in names:
        if not found.contrasts[name] > found.noise:
            raise ExpertUnusable(
                f"expert {name!r} computes the target: their mean log-prob difference is {found.contrasts[name]:.2g} "
                f"nats on {len(CALIBRATION_PROMPTS)} calibration prompts, and the server's own rounding is "
                f"{found.noise:.2g}; check served_as and the adapter's weights, or remove the expert"
            )
