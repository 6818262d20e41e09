"""`openai`: a judge behind an OpenAI-compatible endpoint, asked for a number from 0 to 100; the score is number / 100.

An answer counts only if it is that number and nothing else (`85`, `85/100`): a judge that reasons in its answer has not
kept to the form, and picking a number out of its words would be a guess. Outputs are asked about at once, as many as
`concurrency` allows; verdicts come back in order. Once so many in a row had no answer that the endpoint must be away,
the rest is not asked: a batch then costs the tries of a few questions, and not those of all. What stays without a
readable answer has no verdict and is counted in one log line.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from riskmon.config import OpenAIJudge
from riskmon.estimate.judges.chat_endpoint import ChatEndpoint, Patience
from riskmon.estimate.judges.identity import judge_id
from riskmon.estimate.judges.questions import LARGEST, instructions, material
from riskmon.estimate.meter import Meter
from riskmon.records import Prompt, Verdicts

log = logging.getLogger(__name__)

# Fewer in a row may be chance.
_IN_VAIN = 8
_NUMBER = re.compile(rf"\s*([0-9]{{1,3}}(?:\.[0-9]{{1,6}})?)\s*(?:/\s*{LARGEST})?\s*")


class OpenAI:
    """Score = the number the endpoint answers / 100."""

    def __init__(self, config: OpenAIJudge, endpoint: ChatEndpoint) -> None:
        self._endpoint = endpoint
        self._concurrency = config.concurrency
        self._instructions = instructions(config.rubric)
        self.id = judge_id(
            config.kind,
            config.model,
            url=config.url,
            instructions=self._instructions,
            question=material(Prompt("probe", ""), ""),
        )

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """Ask once per output, several at once.

        Raises:
            ModelUnavailable: the endpoint refuses requests of this kind.
        """
        if not outputs:
            return Verdicts(np.empty(0))
        patience = Patience(max(_IN_VAIN, self._concurrency))
        pool = ThreadPoolExecutor(min(self._concurrency, len(outputs)), thread_name_prefix="judge")
        try:
            scores = np.array(list(pool.map(lambda output: self._score(prompt, output, patience), outputs)))
        finally:
            pool.shutdown(cancel_futures=True)
        unreadable = int(np.isnan(scores).sum())
        if unreadable == len(outputs):
            self._endpoint.require_use()
        if unreadable:
            log.warning(
                "judge 'openai' gave no readable verdict on %d of %d outputs", unreadable, len(outputs)
            )
        return Verdicts(scores)

    def _score(self, prompt: Prompt, output: str, patience: Patience) -> float:
        answer = self._endpoint.ask(
            [
                {"role": "system", "content": self._instructions},
                {"role": "user", "content": material(prompt, output)},
            ],
            patience,
        )
        return math.nan if answer is None else parse_rating(answer)


def parse_rating(answer: str) -> float:
    """The rating in [0, 1] that an answer consists of; NaN where it is anything else."""
    match = _NUMBER.fullmatch(answer)
    rating = float(match[1]) if match else math.nan
    return rating / LARGEST if rating <= LARGEST else math.nan


def build_openai(
    config: OpenAIJudge, meter: Meter | None = None, sleep: Callable[[float], None] | None = None
) -> OpenAI:
    """Prepare the endpoint; nothing is sent before the first verdict is asked for."""
    key = None if config.api_key is None else config.api_key.get_secret_value()
    endpoint = ChatEndpoint(
        config.url,
        config.model,
        key,
        timeout_s=config.timeout.total_seconds(),
        retries=config.retries,
        concurrency=config.concurrency,
        **({} if sleep is None else {"sleep": sleep}),
    )
    return OpenAI(config, endpoint)
