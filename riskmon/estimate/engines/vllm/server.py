"""The fence to a vLLM server: HTTP requests to its OpenAI-compatible endpoints, tried again where that may help.

A request that times out, finds no connection or is answered with 408, 429 or 5xx is tried again after a wait that
doubles, or after what `Retry-After` says. Once one request went through all its tries in vain the server is taken to be
away, and none is tried again until `begin` is called: a batch then costs the tries of one request, not those of all.

A server that is away breaks off what is under way (`WorkerLost`): the prompts wait for the next cycle. One request that
it refuses for what it holds is a fault of that prompt. Any other refusal is one of the configuration. Requests and
answers hold prompts and completions, and servers echo what they are asked: no text of either goes into a message.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from riskmon.config import VllmEngine
from riskmon.errors import ModelUnavailable, PromptTooLong, PromptUnsupported, WorkerLost
from riskmon.estimate.tries import LONGEST_HEEDED_S, PASSING, authorization, backoff_s, retry_after_s

log = logging.getLogger(__name__)

_ABOUT_THE_REQUEST = frozenset({400, 413, 422})
_TOO_LARGE = 413
# What servers say of a prompt that does not fit; it holds sizes, and is only looked at.
_TOO_LONG = b"context length"


@dataclass(frozen=True, slots=True)
class Served:
    """A model, or an adapter on one, that the server has.

    Attributes:
        parent: name of the model it is an adapter on; None for a model.
        context_length: most tokens of prompt and answer together; None where the server does not say.
    """

    name: str
    parent: str | None
    context_length: int | None


class VllmServer:
    """Requests to one server; safe to use from several threads.

    Args:
        config: where it is and how long to wait.
        sleep: how it waits.

    Raises:
        ModelUnavailable: url or api_key cannot be sent.
    """

    def __init__(self, config: VllmEngine, sleep: Callable[[float], None] = time.sleep) -> None:
        self._retries = config.retries
        self._sleep = sleep
        self._away = threading.Event()
        key = None if config.api_key is None else config.api_key.get_secret_value()
        try:
            base = httpx.URL(f"{config.url.rstrip('/')}/")
        except httpx.InvalidURL:
            base = httpx.URL()
        if not base.host:
            raise ModelUnavailable("model.engine.url cannot be read; give one like http://127.0.0.1:8000/v1")
        self.place = base.host if base.port is None else f"{base.host}:{base.port}"
        self._client = httpx.Client(
            base_url=base,
            headers={**authorization("model.engine", key), "Content-Type": "application/json"},
            timeout=config.timeout.total_seconds(),
            limits=httpx.Limits(
                max_connections=config.concurrency, max_keepalive_connections=config.concurrency
            ),
        )

    def begin(self) -> None:
        """A new batch of requests: a server that was away is asked again."""
        self._away.clear()

    def give_up(self) -> None:
        """No request is tried again until the next `begin`."""
        self._away.set()

    def models(self) -> dict[str, Served]:
        """What it serves, by name.

        Raises:
            ModelUnavailable: it cannot be reached, refuses, or is no such server.
        """
        try:
            found = self._answered("GET", "models", None, "?")["data"]
            return {
                item["id"]: Served(item["id"], item.get("parent"), item.get("max_model_len"))
                for item in found
            }
        except WorkerLost as exc:
            raise ModelUnavailable(
                f"{exc}; start it, or give its address in model.engine.url, which ends with its version, such as /v1"
            ) from exc
        except (LookupError, TypeError, AttributeError) as exc:
            raise ModelUnavailable(
                f"what answers at {self.place} is no vLLM server: its list of models cannot be read; check "
                "model.engine.url"
            ) from exc

    def complete(self, body: dict[str, Any], prompt_id: str) -> list[dict[str, Any]]:
        """The choices of a completion.

        Args:
            body: as `protocol` writes it. prompt_id: named in errors.

        Raises:
            WorkerLost: the server is away, or its answer has another shape.
            PromptTooLong, PromptUnsupported: it refuses this request for what it holds.
            ModelUnavailable: it refuses all requests.
        """
        answer = self._answered("POST", "completions", body, prompt_id)
        choices = answer.get("choices") if isinstance(answer, dict) else None
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise WorkerLost(f"the vLLM server at {self.place} answers without choices")
        return choices

    def _answered(self, method: str, path: str, body: dict[str, Any] | None, prompt_id: str) -> Any:
        content = None if body is None else orjson.dumps(body)
        fault = "it was away a moment ago"
        for tries in range(self._retries + 1):
            if self._away.is_set():
                break
            wait_s: float | None = None
            try:
                response = self._client.request(method, path, content=content)
            except httpx.RequestError as exc:
                fault = type(exc).__name__
            else:
                if response.is_success:
                    return self._parsed(response)
                if response.status_code < 500 and response.status_code not in PASSING:
                    self._refuse(response, prompt_id)
                fault, wait_s = f"status {response.status_code}", retry_after_s(response)
            log.debug("the vLLM server failed (%s), try %d of %d", fault, tries + 1, self._retries + 1)
            if wait_s is not None and wait_s > LONGEST_HEEDED_S:
                break
            if tries < self._retries:
                self._sleep(backoff_s(tries) if wait_s is None else wait_s)
        self.give_up()
        raise WorkerLost(f"the vLLM server at {self.place} does not answer ({fault})")

    def _parsed(self, response: httpx.Response) -> Any:
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            # Its cause would show the answer.
            raise WorkerLost(f"the vLLM server at {self.place} answers with what is no JSON") from None

    def _refuse(self, response: httpx.Response, prompt_id: str) -> None:
        """Raise what a status below 500 means."""
        status = response.status_code
        if status not in _ABOUT_THE_REQUEST:
            raise ModelUnavailable(
                f"the vLLM server at {self.place} refuses requests with status {status}; check url, model and api_key "
                "of model.engine, and served_as of the adapters"
            )
        if status == _TOO_LARGE or _TOO_LONG in response.content:
            raise PromptTooLong(
                prompt_id, f"prompt {prompt_id!r} and its answer are too long for the vLLM server"
            )
        raise PromptUnsupported(
            prompt_id,
            f"the vLLM server refuses prompt {prompt_id!r} with status {status}; its own log says why",
        )
