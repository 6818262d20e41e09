"""The vLLM engine: a server draws the rows, and scores them under every voice that the proposals need.

In come prompts with proposals and numbers of draws, out come their draws with exact log-probs: of a drawn token under
the voice that drew it as the draw gave it, of everything else by scoring the answer's tokens under the other voice's
network and context (`scoring.py`). Segments of a window are drawn turn by turn (`rows.py`). As many requests as are
allowed are under way at once; which of them are answered first changes nothing.

A few rows are also scored under the voices that drew them, to check that the server's two ways agree. Device time is
the time during which requests are under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from riskmon.errors import PromptFailed
from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.engines.vllm.outcome import draws_of, wanted
from riskmon.estimate.engines.vllm.protocol import Drawn, read_drawn, read_scores, scoring_body
from riskmon.estimate.engines.vllm.rows import TURNS, Ask, Contexts, Rows
from riskmon.estimate.engines.vllm.scoring import Question, fill, questions_of
from riskmon.estimate.engines.vllm.server import VllmServer
from riskmon.estimate.engines.vllm.speakers import Speaker
from riskmon.estimate.meter import Meter
from riskmon.estimate.proposals import TARGET, Proposal, Voice
from riskmon.estimate.rendering import Rendering
from riskmon.records import Draws, FloatArray, IntArray, Prompt

A = TypeVar("A")
B = TypeVar("B")

# Answers that vLLM writes side by side, as it comes (`--max-num-seqs`).
_ROWS = 256


class VllmEngine:
    """Draws from the networks of one server.

    Attributes:
        voices: one per expert, the target first.
        meter: counts while requests are under way.
        rows: draws it makes at a time.
    """

    rows = _ROWS

    def __init__(
        self,
        server: VllmServer,
        rendering: Rendering,
        speakers: Sequence[Speaker],
        max_new_tokens: int,
        concurrency: int,
        meter: Meter,
    ) -> None:
        """Take what is drawn from.

        Args:
            rendering: of the target; its context length is the server's.
            concurrency: requests under way at once.
            meter: the clock of all work.
        """
        self.meter = meter
        self.voices = (TARGET, *(Voice(expert, 1.0) for expert in range(1, len(speakers))))
        self._server = server
        self._rendering = rendering
        self._speakers = tuple(speakers)
        self._cap = max_new_tokens
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="vllm")
        self._overhead = (0, 0.0)

    @property
    def expert_names(self) -> tuple[str, ...]:
        """Names of the experts, the target first."""
        return tuple(speaker.name for speaker in self._speakers)

    @property
    def device(self) -> str:
        """The server."""
        return f"vLLM at {self._server.place}"

    def draw(
        self, prompt: Prompt, proposals: Sequence[Proposal], counts: IntArray, rng: np.random.Generator
    ) -> Draws:
        """Draw counts[k] sequences from each proposal and score all of them under all proposals.

        Args:
            prompt: the prompt.
            proposals: K proposals, proposal 0 being the target.
            counts: [K] int64.
            rng: the stage's own stream.

        Raises:
            PromptFailed: the prompt cannot be rendered, is too long, is refused, or gives log-probs that are not
                finite.
            WorkerLost: the server is away. ModelUnavailable: it refuses all requests.
        """
        (drawn,) = self.draw_many([Job(prompt, proposals, counts, rng)])
        if isinstance(drawn, PromptFailed):
            raise drawn
        return drawn

    def draw_many(self, jobs: Sequence[Job]) -> list[Draws | PromptFailed]:
        """Draw several jobs together: the same draws as one by one, in less time.

        Returns:
            Per job its draws, or why it has none; one prompt's fault is not another's.

        Raises:
            WorkerLost, ModelUnavailable: as `draw`.
        """
        self._server.begin()
        faults: dict[int, PromptFailed] = {}
        sheets: dict[int, Rows] = {}
        for index, job in enumerate(jobs):
            try:
                needed = job.needed(len(self.voices), self._cap).any(axis=1)
                contexts = self._contexts(job.prompt, np.flatnonzero(needed).tolist())
                sheets[index] = Rows(job, contexts, len(self.voices), self._cap)
            except PromptFailed as exc:
                faults[index] = exc
        before = self.meter.seconds
        with self.meter.working():
            for turn in range(TURNS):
                self._take_turn(sheets, turn, faults)
            again = self._score_rest(sheets, faults)
        seconds = (self.meter.seconds - before) / max(1, sum(rows.work for rows in sheets.values()))
        results: list[Draws | PromptFailed] = []
        for index in range(len(jobs)):
            try:
                if index in faults:
                    raise faults[index]
                results.append(draws_of(sheets[index], again[index], seconds))
            except PromptFailed as exc:
                results.append(exc)
        return results

    def score(self, prompt: Prompt, answers: Sequence[Sequence[int]]) -> FloatArray:
        """Per-token log-probs of given answers under every voice: [voices, n, T] float64, 0 behind an answer's end.

        Raises:
            PromptFailed, WorkerLost, ModelUnavailable: as `draw`.
        """
        before = self.meter.seconds
        self._server.begin()
        contexts = self._contexts(prompt, range(len(self.voices)))
        tokens = np.zeros((len(answers), self._cap), dtype=np.int64)
        for row, answer in enumerate(answers):
            tokens[row, : len(answer)] = answer
        inside = np.arange(self._cap) < np.array([[len(answer)] for answer in answers])
        scores = np.zeros((len(self.voices), len(answers), self._cap))
        questions = questions_of(tokens, np.broadcast_to(inside, scores.shape))
        with self.meter.working():
            found = self._side_by_side(self._scorer(contexts, prompt.id), questions)
        for (question, rows), log_probs in zip(questions.items(), found, strict=True):
            if isinstance(log_probs, PromptFailed):
                raise log_probs
            fill(scores, question, rows, log_probs)
        read = sum(len(contexts[question.voice][1]) + len(question.answer) for question in questions)
        self._overhead = (self._overhead[0] + read, self._overhead[1] + self.meter.seconds - before)
        return scores

    def take_overhead(self) -> tuple[int, float]:
        """Tokens and seconds that `score` has cost since this was last asked."""
        overhead, self._overhead = self._overhead, (0, 0.0)
        return overhead

    # ---- drawing

    def _contexts(self, prompt: Prompt, voices: Iterable[int]) -> Contexts:
        """Network and context of some voices; voice v is expert v."""
        contexts: dict[int, tuple[str, list[int]]] = {}
        for voice in voices:
            speaker = self._speakers[voice]
            ids = speaker.context(prompt)
            self._rendering.check_length(prompt, ids, self._cap)
            contexts[voice] = (speaker.model, ids)
        return contexts

    def _take_turn(self, sheets: dict[int, Rows], turn: int, faults: dict[int, PromptFailed]) -> None:
        self.meter.give_way()
        asks = [
            (index, ask) for index, rows in sheets.items() if index not in faults for ask in rows.asks(turn)
        ]

        def put(item: tuple[int, Ask]) -> list[Drawn]:
            index, ask = item
            stops = self._rendering.stop_ids
            choices = self._server.complete(ask.drawing.body(stops), sheets[index].job.prompt.id)
            return read_drawn(choices, ask.drawing, stops)

        for (index, ask), drawn in zip(asks, self._side_by_side(put, asks), strict=True):
            if isinstance(drawn, PromptFailed):
                faults[index] = drawn
            else:
                sheets[index].take(ask, drawn, self._rendering.stop_ids)

    def _score_rest(self, sheets: dict[int, Rows], faults: dict[int, PromptFailed]) -> dict[int, FloatArray]:
        """What the draws did not tell, and a few rows again: per job [voices, n, T] float64, NaN where not asked."""
        left = {index: rows for index, rows in sheets.items() if index not in faults}
        questions = {index: questions_of(rows.tokens, wanted(rows)) for index, rows in left.items()}
        asks = [(index, question) for index, own in questions.items() for question in own]
        scorers = {i: self._scorer(rows.contexts, rows.job.prompt.id) for i, rows in left.items()}
        again = {index: np.full_like(rows.log_probs, np.nan) for index, rows in left.items()}

        def put(item: tuple[int, Question]) -> list[float]:
            index, question = item
            return scorers[index](question)

        for (index, question), log_probs in zip(asks, self._side_by_side(put, asks), strict=True):
            if isinstance(log_probs, PromptFailed):
                faults[index] = log_probs
                continue
            fill(again[index], question, questions[index][question], log_probs)
            left[index].work += len(left[index].contexts[question.voice][1]) + len(question.answer)
        return again

    # ---- requests

    def _scorer(self, contexts: Contexts, prompt_id: str) -> Callable[[Question], list[float]]:
        """Asks the server for the log-probs of an answer to one prompt."""

        def ask(question: Question) -> list[float]:
            model, context = contexts[question.voice]
            choices = self._server.complete(scoring_body(model, context, question.answer), prompt_id)
            return read_scores(choices, context, question.answer)

        return ask

    def _side_by_side(self, work: Callable[[A], B], items: Iterable[A]) -> list[B | PromptFailed]:
        """What each item gave, in their order; any fault but a prompt's ends all that has not begun."""

        def one(item: A) -> B | PromptFailed:
            try:
                return work(item)
            except PromptFailed as exc:
                return exc

        futures = [self._pool.submit(one, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            self._server.give_up()
            for future in futures:
                future.cancel()
            raise
