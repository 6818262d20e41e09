"""`rubric`: a trait that a generative chat model scores from 0 to 100 by a written rubric.

The model is asked for a number, and what it would say is read instead of sampled:

    score = sum_k (k / 100) * P(k) / mass,    mass = sum_k P(k),    k = 0..100

P(k) is the probability that the reply begins with the number k and with no longer one: the product of the next-token
probabilities along the tokens of k, times the probability that the next token does not go on with a digit. So "8" and
"85" are told apart for tokenizers that split numbers into digits, at the price of one step per number that is at all
likely. Where every number from 0 to 100 is a single token, one forward pass is enough and what follows is not read.
Where numbers hold less than `label_mass` there is no verdict. A number written with decimals counts as its whole part.
"""

from __future__ import annotations

from collections.abc import Sequence

from riskmon.config import RubricJudge
from riskmon.errors import ModelUnavailable
from riskmon.estimate.judges.answers import AmbiguousAnswers, AnswerReader, Node, normalise, plant
from riskmon.estimate.judges.identity import judge_id
from riskmon.estimate.judges.network import JudgeNetwork, load_network
from riskmon.estimate.judges.questions import LARGEST, instructions, material
from riskmon.estimate.meter import Meter
from riskmon.records import Prompt, Verdicts

_DIGITS = "0123456789"
_PROBE = Prompt("probe", "Hello.")


class Rubric:
    """Score = expected rating / 100."""

    def __init__(self, config: RubricJudge, network: JudgeNetwork, meter: Meter) -> None:
        self._network = network
        self._instructions = instructions(config.rubric, config.trait)
        self._label_mass = config.label_mass
        try:
            probe = self._render(_PROBE, "Hello.")
        except Exception as exc:
            raise ModelUnavailable(
                f"judge 'rubric': {network.name!r} has no chat template that takes a user message "
                f"({type(exc).__name__}); give a chat model"
            ) from exc
        tree = _numbers(network, probe)
        self._reader = AnswerReader(
            network,
            tree,
            batch_size=config.batch_size,
            max_tokens=config.max_tokens,
            meter=meter,
            continuing=_digit_tokens(network) if tree.depth else (),
        )
        self.id = judge_id(
            config.kind,
            network.name,
            network.revision,
            question=material(_PROBE, ""),
            instructions=self._instructions,
            label_mass=config.label_mass,
            max_tokens=config.max_tokens,
            **network.identity,
        )

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """Ask once per output."""
        contexts = [self._context(prompt, output) for output in outputs]
        return Verdicts(normalise(*self._reader.read(contexts), self._label_mass))

    def _render(self, prompt: Prompt, output: str) -> str:
        # One user message: not every template takes a system message.
        question = material(self._network.plain.prompt(prompt), self._network.plain.text(output))
        text = f"{self._instructions}\n\n{question}"
        return self._network.render_chat([{"role": "user", "content": text}])

    def _context(self, prompt: Prompt, output: str) -> list[int]:
        return self._network.encode(self._render(prompt, output), special_tokens=False)


def _numbers(network: JudgeNetwork, probe: str) -> Node:
    """The tree of the numbers 0 to 100 behind a rendered question.

    Raises:
        ModelUnavailable: the tokenizer does not spell every number.
    """
    spelled = {}
    for number in range(LARGEST + 1):
        path = network.continuation(probe, str(number), special_tokens=False)
        if path is not None:
            spelled[path] = number / LARGEST
    try:
        if len(spelled) <= LARGEST:
            raise AmbiguousAnswers
        closing = any(len(path) > 1 for path in spelled)
        return plant({path: Node(value=value, closing=closing) for path, value in spelled.items()})
    except AmbiguousAnswers:
        raise ModelUnavailable(
            f"judge 'rubric': the tokenizer of {network.name!r} does not spell every number from 0 to {LARGEST}; "
            "give another chat model"
        ) from None


def _digit_tokens(network: JudgeNetwork) -> list[int]:
    """Tokens that make a number longer where they follow one: those that begin with a digit, without a space."""
    tokens = network.tokenizer.convert_ids_to_tokens(list(range(len(network.tokenizer))))
    return [i for i, token in enumerate(tokens) if token is not None and token[:1] in _DIGITS and token]


def build_rubric(config: RubricJudge, meter: Meter | None = None) -> Rubric:
    """Load the chat model.

    Raises:
        ModelUnavailable: the model does not load, or cannot be asked for a number.
    """
    return Rubric(config, load_network(config.kind, config.model, config, "causal"), meter or Meter())
