"""Asking an OpenAI-compatible endpoint: one question at a time, tried again where that may help.

A request that times out, finds no connection or is answered with 408, 429 or 5xx is tried again after a wait that
doubles and is scattered, or after what `Retry-After` says. A request that is refused for what it holds (400, 413, 422:
too long, or stopped by a content filter) has no answer and is not repeated. Any other refusal concerns all requests and
is an error. Where an endpoint is away, every question of a batch would wait through all its tries; a `Patience` that
the batch shares ends that. The texts of requests and answers go into no message: endpoints echo what they are asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import httpx

from riskmon.errors import ModelUnavailable
from riskmon.estimate.tries import LONGEST_HEEDED_S, PASSING, authorization, backoff_s, retry_after_s

log = logging.getLogger(__name__)

_ABOUT_THE_REQUEST = frozenset({400, 413, 422})


class Patience:
    """Of one batch of questions: after so many in a row that went through all tries in vain, the rest is not asked.

    Args:
        most: questions in vain; at least one.
    """

    def __init__(self, most: int) -> None:
        self._left = self._most = most
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether the endpoint is taken to be away."""
        return self._left <= 0

    def heard(self) -> None:
        """The endpoint has said something."""
        with self._lock:
            self._left = self._most

    def in_vain(self) -> None:
        """A question had no answer after all tries."""
        with self._lock:
            self._left -= 1


class ChatEndpoint:
    """A chat model behind `{url}/chat/completions`; safe to use from several threads.

    Args:
        url: base URL with its version.
        model: name of the model there.
        api_key: sent as a bearer token, and kept nowhere else; None sends none.
        timeout_s: longest wait for a connection, and for each piece of an answer.
        retries: further tries of one question.
        concurrency: connections kept open.
        sleep: how it waits.

    Raises:
        ModelUnavailable: url or api_key cannot be sent.
    """

    def __init__(
        self,
        url: str,
        model: str,
        api_key: str | None,
        *,
        timeout_s: float,
        retries: int,
        concurrency: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._model = model
        self._retries = retries
        self._sleep = sleep
        self._answered = False
        self._refused_with: int | None = None
        self._url = _completions(url)
        self._client = httpx.Client(
            headers=authorization("judge 'openai'", api_key),
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )

    def ask(self, messages: Sequence[dict[str, str]], patience: Patience) -> str | None:
        """The model's answer; None where there is none after all tries, or no patience is left.

        Raises:
            ModelUnavailable: the endpoint refuses all requests, as the status says.
        """
        if patience.over:
            return None
        body = {"model": self._model, "messages": list(messages), "temperature": 0}
        for tries in range(self._retries + 1):
            wait_s: float | None = None
            try:
                response = self._client.post(self._url, json=body)
            except httpx.RequestError as exc:
                fault = type(exc).__name__
            else:
                if response.is_success:
                    self._answered = True
                    patience.heard()
                    return _content(response)
                status = response.status_code
                if status in _ABOUT_THE_REQUEST:
                    self._refused_with = status
                    patience.heard()
                    return None
                if status < 500 and status not in PASSING:
                    self._refuse(status)
                fault, wait_s = f"status {status}", retry_after_s(response)
            log.debug("the judge's endpoint failed (%s), try %d of %d", fault, tries + 1, self._retries + 1)
            if wait_s is not None and wait_s > LONGEST_HEEDED_S:
                break
            if tries < self._retries:
                self._sleep(backoff_s(tries) if wait_s is None else wait_s)
        patience.in_vain()
        return None

    def require_use(self) -> None:
        """Make sure that refusals were about single requests.

        Raises:
            ModelUnavailable: the endpoint has refused requests and never answered one.
        """
        if self._refused_with is not None and not self._answered:
            self._refuse(self._refused_with)

    def _refuse(self, status: int) -> NoReturn:
        raise ModelUnavailable(
            f"judge 'openai': the endpoint at {self._url.host} refuses requests for model {self._model!r} with status "
            f"{status}; check url, model and api_key"
        )


def _completions(url: str) -> httpx.URL:
    try:
        whole = httpx.URL(f"{url.rstrip('/')}/chat/completions")
    except httpx.InvalidURL:
        whole = httpx.URL()
    if not whole.host:
        raise ModelUnavailable("judge 'openai': url cannot be read; give one like https://host/v1")
    return whole


def _content(response: httpx.Response) -> str | None:
    """The text of the first choice; None where the answer has another shape."""
    try:
        content = response.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return None
    return content if isinstance(content, str) else None
