"""`hf-generative`: a guard model that answers with a verdict, read as the probability of its verdict tokens.

A preset says how the model is asked and where its verdict stands. Per output one input is rendered, and the
probabilities of the labels give

    score = sum_label value * P(label) / sum_label P(label)

the expected value of the verdict. Where the labels together hold less than `label_mass`, the model was about to say
something else: there is no verdict. Labels of several tokens are read exactly, by the product along their tokens, and
a preset whose verdict stands on a later line is averaged over what the earlier lines may say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from jinja2 import Environment, StrictUndefined

from riskmon.config import HfGenerativeJudge
from riskmon.errors import ModelUnavailable
from riskmon.estimate.judges.answers import AmbiguousAnswers, AnswerReader, Node, normalise, plant
from riskmon.estimate.judges.dialogue import clean, flatten, turns
from riskmon.estimate.judges.identity import judge_id
from riskmon.estimate.judges.network import JudgeNetwork, load_network
from riskmon.estimate.judges.presets import Line, Preset, find_preset
from riskmon.estimate.meter import Meter
from riskmon.records import Prompt, Verdicts

_PROBE = Prompt("probe", "Hello.")
_PROBE_OUTPUT = "Hello."


class HfGenerative:
    """Score = expected value of the guard model's verdict."""

    def __init__(
        self, config: HfGenerativeJudge, preset: Preset, network: JudgeNetwork, meter: Meter
    ) -> None:
        self._preset = preset
        self._network = network
        self._render = _renderer(preset, network)
        self._label_mass = config.label_mass
        try:
            probe = self._render(_PROBE, _PROBE_OUTPUT)
        except Exception as exc:
            raise ModelUnavailable(
                f"judge 'hf-generative': {network.name!r} does not render a dialogue ({type(exc).__name__}); preset "
                f"{preset.name!r} needs a model with the chat template of {preset.model}"
            ) from exc
        self._reader = AnswerReader(
            network,
            _answers(preset, network, probe),
            batch_size=config.batch_size,
            max_tokens=config.max_tokens,
            meter=meter,
        )
        self.id = judge_id(
            config.kind,
            network.name,
            network.revision,
            preset=dataclasses.asdict(preset),
            label_mass=config.label_mass,
            max_tokens=config.max_tokens,
            **network.identity,
        )

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """Ask once per output."""
        contexts = [self._context(prompt, output) for output in outputs]
        return Verdicts(normalise(*self._reader.read(contexts), self._label_mass))

    def _context(self, prompt: Prompt, output: str) -> list[int] | None:
        try:
            text = self._render(self._network.plain.prompt(prompt), self._network.plain.text(output))
        except Exception:  # noqa: BLE001 - template code raises anything, with the text in its message
            return None
        lead = self._preset.lines[0].lead
        return self._network.encode(text + lead, special_tokens=self._preset.special_tokens)


def _renderer(preset: Preset, network: JudgeNetwork) -> Callable[[Prompt, str], str]:
    """What turns a prompt and an output into the judge's input."""
    if preset.text is None:
        closing = [] if preset.closing_turn is None else [{"role": "user", "content": preset.closing_turn}]
        return lambda prompt, output: network.render_chat([*turns(prompt, output), *closing])
    template = Environment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the input is read by a model, not by a browser
    ).from_string(preset.text)
    return lambda prompt, output: template.render(prompt=flatten(prompt), output=clean(output))


def _answers(preset: Preset, network: JudgeNetwork, probe: str) -> Node:
    """The tree of the preset's answers in this model's tokens.

    Raises:
        ModelUnavailable: a verdict has no tokens of its own.
    """

    def follow(before: str, lines: Sequence[Line]) -> Node:
        """Answers that may follow `before`, which ends with the lead of the first line."""
        line, rest = lines[0], lines[1:]
        ends: dict[tuple[int, ...], Node] = {}
        # Every verdict needs one spelling; on the lines before it, everything that may be said.
        lost: set[str | float | None] = set(line.labels) if rest else set(line.labels.values())
        for label, value in line.labels.items():
            path = network.continuation(before, label, special_tokens=preset.special_tokens)
            if path is None or path in ends:
                continue  # another spelling may do
            ends[path] = Node(value=value)
            if rest:
                said = before + label
                lead = network.continuation(said, rest[0].lead, special_tokens=preset.special_tokens)
                if lead is None:
                    continue
                below = follow(said + rest[0].lead, rest)
                ends[path] = Node(children=below.children, forced=lead)
            lost -= {label, value}
        if lost:
            raise AmbiguousAnswers
        return plant(ends)

    try:
        return follow(probe + preset.lines[0].lead, preset.lines)
    except AmbiguousAnswers:
        labels = ", ".join(repr(label) for line in preset.lines for label in line.labels)
        raise ModelUnavailable(
            f"judge 'hf-generative': the tokenizer of {network.name!r} has no tokens that tell {labels} apart; preset "
            f"{preset.name!r} needs a tokenizer like that of {preset.model}"
        ) from None


def build_hf_generative(config: HfGenerativeJudge, meter: Meter | None = None) -> HfGenerative:
    """Load the guard model and find its verdict tokens.

    Raises:
        ModelUnavailable: the preset is unknown, the model does not load, or it does not fit the preset.
    """
    preset = find_preset(config.preset)
    network = load_network(config.kind, config.model or preset.model, config, "causal", base=preset.base)
    return HfGenerative(config, preset, network, meter or Meter())
