"""The vLLM engine: a server draws the rows, and scores them under every voice that the proposals need.

In come prompts with proposals and numbers of draws, out come their draws with exact log-probs: of a drawn token under
the voice that drew it as the draw gave it, of everything else by scoring the answer's tokens under the other voice's
network and context (`scoring.py`). Segments of a window are drawn turn by turn (`rows.py`). As many requests as are
allowed are under way at once; which of them are answered first changes nothing.

A few rows are also scored under the voices that drew them, to check that the server's two ways agree. Device time is
the time during which requests are under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from riskmon.errors import NumericalFault, PromptFailed
from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.engines.vllm.protocol import Drawn, read_drawn, read_scores, scoring_body
from riskmon.estimate.engines.vllm.rows import TURNS, Ask, Contexts, Rows
from riskmon.estimate.engines.vllm.scoring import Question, fill, questions_of
from riskmon.estimate.engines.vllm.server import VllmServer
from riskmon.estimate.engines.vllm.speakers import Speaker
from riskmon.estimate.proposals import TARGET, Proposal, Voice, log_densities
from riskmon.estimate.rendering import Rendering
from riskmon.records import BoolArray, Draws, FloatArray, IntArray, Prompt

A = TypeVar("A")
B = TypeVar("B")

# One row in so many is scored a second time for the path check.
_CHECK_EVERY = 64
# Log-probs are at most 0; float32 rounding may leave them a little above.
_ROUNDING = 1e-4


class VllmEngine:
    """Draws from the networks of one server.

    Attributes:
        voices: one per expert, the target first.
    """

    def __init__(
        self,
        server: VllmServer,
        rendering: Rendering,
        speakers: Sequence[Speaker],
        max_new_tokens: int,
        concurrency: int,
    ) -> None:
        """Take what is drawn from.

        Args:
            rendering: of the target; its context length is the server's.
            concurrency: requests under way at once.
        """
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
        started = time.perf_counter()
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
        for turn in range(TURNS):
            self._take_turn(sheets, turn, faults)
        again = self._score_rest(sheets, faults)
        done: dict[int, Draws] = {}
        for index, rows in sheets.items():
            if index not in faults:
                try:
                    done[index] = self._finish(rows, again[index])
                except PromptFailed as exc:
                    faults[index] = exc
        seconds = (time.perf_counter() - started) / max(1, sum(rows.work for rows in sheets.values()))
        done = {i: replace(d, device_seconds=seconds * d.forward_tokens) for i, d in done.items()}
        return [faults[index] if index in faults else done[index] for index in range(len(jobs))]

    def score(self, prompt: Prompt, answers: Sequence[Sequence[int]]) -> FloatArray:
        """Per-token log-probs of given answers under every voice: [voices, n, T] float64, 0 behind an answer's end.

        Raises:
            PromptFailed, WorkerLost, ModelUnavailable: as `draw`.
        """
        started = time.perf_counter()
        self._server.begin()
        contexts = self._contexts(prompt, range(len(self.voices)))
        tokens = np.zeros((len(answers), self._cap), dtype=np.int64)
        for row, answer in enumerate(answers):
            tokens[row, : len(answer)] = answer
        inside = np.arange(self._cap) < np.array([[len(answer)] for answer in answers])
        scores = np.zeros((len(self.voices), len(answers), self._cap))
        questions = questions_of(tokens, np.broadcast_to(inside, scores.shape))
        ask = self._scorer(contexts, prompt.id)
        for (question, rows), log_probs in zip(
            questions.items(), self._side_by_side(ask, questions), strict=True
        ):
            if isinstance(log_probs, PromptFailed):
                raise log_probs
            fill(scores, question, rows, log_probs)
        read = sum(len(contexts[question.voice][1]) + len(question.answer) for question in questions)
        tokens_before, seconds_before = self._overhead
        self._overhead = (tokens_before + read, seconds_before + time.perf_counter() - started)
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
        questions = {index: questions_of(rows.tokens, self._wanted(rows)) for index, rows in left.items()}
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

    def _wanted(self, rows: Rows) -> BoolArray:
        """[voices, n, T] bool: what is needed and nobody knows, and all that the checked rows' own voices said."""
        job = rows.job
        inside = np.arange(self._cap) < rows.lengths[:, None]  # [n, T]
        spoke = np.arange(len(self.voices))[:, None, None] == job.speaker(self._cap)  # [voices, n, T]
        checked = np.zeros(len(job), dtype=bool)
        checked[_checked_rows(len(job))] = True
        needed = job.needed(len(self.voices), self._cap)[:, None, :]
        wanted: BoolArray = inside & np.where(spoke, checked[:, None], needed)
        return wanted

    def _finish(self, rows: Rows, again: FloatArray) -> Draws:
        """A job's draws, checked; the time they took is filled in later.

        Raises:
            NumericalFault: log-probs that are not finite, or are none.
        """
        job = rows.job
        drawn = ~np.isnan(rows.log_probs)
        log_probs = np.where(drawn, rows.log_probs, again)
        inside = np.arange(self._cap) < rows.lengths[:, None]
        log_probs[:, ~inside] = 0.0
        needed = job.needed(len(self.voices), self._cap)[:, None, :] & inside
        self._check_sound(job.prompt, rows.log_probs, log_probs, needed)
        difference = np.where(drawn & ~np.isnan(again), rows.log_probs - again, 0.0)
        return Draws(
            tokens=rows.tokens,
            lengths=rows.lengths,
            ended=rows.ended,
            proposal=job.owner.astype(np.int64),
            counts=job.counts,
            log_target=log_probs[0].sum(axis=1),
            log_proposals=log_densities(log_probs, job.proposals),
            forward_tokens=rows.work,
            device_seconds=0.0,
            path_discrepancy=float(np.abs(difference.sum(axis=(0, 2))).max()),
            token_log_probs=log_probs,
        )

    def _check_sound(
        self, prompt: Prompt, drawn: FloatArray, log_probs: FloatArray, needed: BoolArray
    ) -> None:
        # What was drawn cannot have probability 0.
        if (np.isnan(log_probs) & needed).any() or np.isneginf(drawn).any():
            raise NumericalFault(
                prompt.id,
                f"prompt {prompt.id!r} gives log-probabilities that are not finite; it has no estimate",
            )
        if (log_probs > _ROUNDING).any():
            raise NumericalFault(
                prompt.id,
                f"prompt {prompt.id!r} gets log-probabilities above 0 from the vLLM server; start it without "
                "--logprobs-mode, or with raw_logprobs",
            )

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


def _checked_rows(n: int) -> IntArray:
    """Rows spread over a draw that are scored a second time."""
    return np.linspace(0, n - 1, max(2, n // _CHECK_EVERY)).round().astype(np.int64)
