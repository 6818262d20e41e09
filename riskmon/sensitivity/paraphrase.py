"""Paraphrases by a configured model, and which of them are kept.

A model is asked to rewrite the last user turn and to answer nothing. Two kinds: an OpenAI-compatible endpoint, asked
once per paraphrase, each time for another manner, several at once; or a causal language model on this machine, of
which several are sampled. The local one lives in a process of its own that ends with the block, so that its memory is
free when the estimates begin, and so that the caller never loads torch.

What comes back is not trusted. A paraphrase is dropped, and counted under its reason, if it is empty, if it repeats
the text or an earlier paraphrase (case, spacing and punctuation aside), if it is far too long or too short, if it
reads as a refusal, or if a number, URL or piece of code of the text is missing from it or new in it.
"""

from __future__ import annotations

import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml

from riskmon.config import Config, ModelConfig, RegexJudge, SamplerConfig
from riskmon.config.sensitivity import EndpointParaphraser, LocalParaphraser, ParaphraserConfig
from riskmon.devices.child import settle
from riskmon.errors import ModelUnavailable, PromptFailed
from riskmon.records import Prompt
from riskmon.sensitivity.protected import must_keep

if TYPE_CHECKING:
    from riskmon.estimate.session import Session

Ask = Callable[[Prompt, str, int], Sequence[str | None]]
"""Asks for a number of paraphrases of a prompt's text; None stands for one that did not come."""

INSTRUCTIONS = (
    "You rewrite messages. Keep the meaning, the language, all names, numbers, URLs and code exactly as they are. Do "
    "not answer the message, whatever it asks, and do not comment on it. Reply with the rewritten message only."
)
_LONGEST, _LONGEST_EXTRA = 2.5, 80  # times the text, plus characters
_SHORTEST = 0.2
_loaded: Session | None = None  # in the process of a local model
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»"}
_REFUSAL = re.compile(
    r"(i['’]?m (really |very )?sorry|(i am|we['’]re) sorry|sorry, (but )?i|i['’]m (unable|not able)|as an ai\b"
    r"|i (can['’]?t|cannot|can not|won['’]t|will not|am unable|am not able)|unfortunately, i)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, repr=False)
class Paraphrases:
    """What is fit for use, and how many were dropped, per reason."""

    kept: tuple[str, ...] = ()
    dropped: Counter[str] = field(default_factory=Counter)


def checked(text: str, answers: Sequence[str | None]) -> Paraphrases:
    """Keep the answers that may be paraphrases of the text.

    Args:
        answers: as they came; None is none.
    """
    kept: list[str] = []
    dropped: Counter[str] = Counter()
    known = {_core(text)}
    for answer in answers:
        paraphrase = _bare(answer or "")
        reason = _objection(text, paraphrase, known)
        if reason is None:
            kept.append(paraphrase)
            known.add(_core(paraphrase))
        else:
            dropped[reason] += 1
    return Paraphrases(tuple(kept), dropped)


def _objection(text: str, paraphrase: str, known: set[str]) -> str | None:
    if not _core(paraphrase):
        return "empty"
    if _core(paraphrase) in known:
        return "identical"
    if len(paraphrase) > _LONGEST * len(text) + _LONGEST_EXTRA:
        return "too_long"
    if len(paraphrase) < _SHORTEST * len(text):
        return "too_short"
    if _REFUSAL.match(paraphrase) and not _REFUSAL.match(text.strip()):
        return "refused"
    if Counter(must_keep(paraphrase)) != Counter(must_keep(text)):
        return "altered"
    return None


def _core(text: str) -> str:
    """Letters, digits and signs of a text, case, spacing and punctuation aside."""
    return re.sub(r"[\s.,;:!?\"'“”‘’…-]+", "", text).casefold()


def _bare(answer: str) -> str:
    """The answer without the quotes that models like to put around it."""
    stripped = answer.strip()
    if len(stripped) > 1 and _QUOTES.get(stripped[0]) == stripped[-1]:
        return stripped[1:-1].strip()
    return stripped


@contextmanager
def open_paraphraser(config: Config, settings: ParaphraserConfig) -> Iterator[Ask]:
    """The configured model, ready to be asked inside the block.

    Args:
        config: seed of a local model's samples.

    Raises:
        ModelUnavailable: the endpoint refuses, or the model does not load; also while asking.
    """
    if isinstance(settings, EndpointParaphraser):
        with _endpoint(settings) as ask:
            yield ask
    else:
        with _local(config, settings) as ask:
            yield ask


# ---- an endpoint


@cache
def manners() -> tuple[str, ...]:
    """Ways to ask for a paraphrase."""
    found = yaml.safe_load(files("riskmon.sensitivity").joinpath("manners.yaml").read_text(encoding="utf-8"))
    return tuple(found)


@contextmanager
def _endpoint(settings: EndpointParaphraser) -> Iterator[Ask]:
    from riskmon.estimate.judges.chat_endpoint import ChatEndpoint, Patience

    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    with _named(settings.model):
        endpoint = ChatEndpoint(
            settings.url,
            settings.model,
            key,
            timeout_s=settings.timeout.total_seconds(),
            retries=settings.retries,
            concurrency=settings.concurrency,
        )
    pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="paraphrase")

    def ask_one(text: str, patience: Patience, manner: str) -> str | None:
        request = f"Rewrite this message {manner}:\n\n{text}"
        return endpoint.ask(
            [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": request}], patience
        )

    def ask(_prompt: Prompt, text: str, count: int) -> Sequence[str | None]:
        clean = text.encode("utf-8", "replace").decode()  # JSON refuses lone surrogates
        with _named(settings.model):
            patience = Patience(settings.concurrency)
            answers = list(pool.map(partial(ask_one, clean, patience), manners()[:count]))
            if not any(answers):
                endpoint.require_use()
        return answers

    try:
        yield ask
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _named(model: str) -> Iterator[None]:
    """The endpoint's client speaks of a judge."""
    try:
        yield
    except ModelUnavailable as exc:
        raise ModelUnavailable(
            f"sensitivity.paraphrase: the endpoint cannot be asked for model {model!r}; check url, model and api_key"
        ) from exc


# ---- a model on this machine


@contextmanager
def _local(config: Config, settings: LocalParaphraser) -> Iterator[Ask]:
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=settle)

    def ask(prompt: Prompt, text: str, count: int) -> Sequence[str | None]:
        try:
            return pool.submit(_sampled, config, settings, prompt.stream_key, text, count).result()
        except BrokenProcessPool:
            raise ModelUnavailable(
                f"sensitivity.paraphrase: the process that held {settings.model!r} died; choose a smaller model or "
                "another device"
            ) from None

    try:
        yield ask
    finally:
        pool.shutdown(cancel_futures=True)


def _sampled(
    config: Config, settings: LocalParaphraser, stream_key: str, text: str, count: int
) -> list[str | None]:
    """Paraphrases, sampled together; none where the text does not fit the model."""
    session = _session(config, settings)
    request = Prompt(
        f"{stream_key}~paraphrase", f"{INSTRUCTIONS}\n\nRewrite this message {manners()[0]}:\n\n{text}"
    )
    try:
        return list(session.texts(session.draw(request, count)))
    except (PromptFailed, FloatingPointError):
        return [None] * count


def _session(config: Config, settings: LocalParaphraser) -> Session:
    """The paraphrasing model as a target without experts; loaded once in this process, which serves no other."""
    global _loaded
    if _loaded is None:
        _loaded = _load(config, settings)
    return _loaded


def _load(config: Config, settings: LocalParaphraser) -> Session:
    from riskmon.estimate.opening import open_session

    model = ModelConfig(
        target=settings.model,
        revision=settings.revision,
        dtype=settings.dtype,
        device=settings.device,
        max_new_tokens=settings.max_new_tokens,
        sampler=SamplerConfig(temperature=settings.temperature),
        chat_template=settings.chat_template,
    )
    never = RegexJudge(kind="regex", pattern="(?!)")  # a session has a judge; this one is not asked
    try:
        return open_session(
            config.model_copy(update={"model": model, "experts": (), "harms": (), "judge": never})
        )
    except ModelUnavailable as exc:
        # The loader speaks of the deployed model.
        message = str(exc).replace("model.target", "sensitivity.paraphrase.model")
        message = message.replace("model.chat_template", "sensitivity.paraphrase.chat_template")
        raise ModelUnavailable(message.replace("model.device", "sensitivity.paraphrase.device")) from None
