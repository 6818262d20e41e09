"""A real HTTP server that speaks vLLM's protocol over real tiny networks, and misbehaves as it is told.

What it says of log-probs is true: full forward passes by transformers, none of riskmon's code. Only what the engine
uses of the protocol is there, in the shapes that vLLM 0.32 has.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import torch
from support.http_server import serving
from support.judge_endpoint import Reply
from support.served_worlds import CONTEXT, FRESH, TARGET, UNSAFE_NAME, ServedWorld
from support.worlds import tokenizer_of
from torch import Tensor

Misbehaviour = Callable[[int, dict[str, Any]], Reply | None]


@dataclass
class Double:
    """The server's side.

    Attributes:
        networks: name -> network. url: base URL.
        bodies: requests for completions in order of arrival. peak: most of them at once.
        misbehave: gets the number of the request, from 1, and its body; a reply takes the place of the true one.
        temperature: of drawing; log-probs stay those before it.
        shift: added to log-probs of drawn tokens.
    """

    networks: dict[str, Any]
    url: str = ""
    context_length: int = CONTEXT
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    peak: int = 0
    misbehave: Misbehaviour = lambda number, body: None
    temperature: float = 1.0
    shift: float = 0.0
    _known: dict[tuple[str, tuple[int, ...]], Tensor] = field(default_factory=dict)
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def models(self) -> dict[str, Any]:
        """The list of models."""
        return {
            "object": "list",
            "data": [
                {
                    "id": name,
                    "parent": None if name == TARGET else TARGET,
                    "max_model_len": self.context_length if name == TARGET else None,
                }
                for name in self.networks
            ],
        }

    def complete(self, body: dict[str, Any]) -> Reply:
        """Answer a request for a completion."""
        with self._lock:
            self.bodies.append(body)
            number = len(self.bodies)
            self._open += 1
            self.peak = max(self.peak, self._open)
        try:
            reply = self.misbehave(number, body)
            if reply is not None:
                time.sleep(reply.delay_s)
                return reply
            if body["model"] not in self.networks:
                return error(404, f"The model `{body['model']}` does not exist.")
            prompt = body["prompt"]
            ids = tokenizer_of()(prompt)["input_ids"] if isinstance(prompt, str) else prompt
            if len(ids) + 1 > self.context_length:
                return error(400, f"This model's maximum context length is {self.context_length} tokens.")
            with self._lock, torch.inference_mode():
                choices = self._choices(body, ids)
            return Reply(body=json.dumps({"object": "text_completion", "choices": choices}).encode())
        finally:
            with self._lock:
                self._open -= 1

    def _choices(self, body: dict[str, Any], ids: list[int]) -> list[dict[str, Any]]:
        choice: dict[str, Any] = {"index": 0, "prompt_token_ids": ids, "token_ids": None}
        if "prompt_logprobs" in body:
            scores = self._logits(body["model"], ids).double().log_softmax(-1)
            found = scores[:-1].gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1).tolist()
            told = [
                {str(token): {"logprob": value, "rank": 1, "decoded_token": "?"}}
                for token, value in zip(ids[1:], found, strict=True)
            ]
            return [{**choice, "prompt_logprobs": [None, *told]}]
        if "seed" not in body:
            return [choice]
        drawn = [self._draw(ids, body, body["seed"] + child) for child in range(body["n"])]
        # vLLM gives children in no promised order.
        return [{**choice, "index": i, **answer} for i, answer in enumerate(drawn)][::-1]

    def _logits(self, name: str, ids: list[int]) -> Tensor:
        """[t, V] of a network; what was asked before is known."""
        key = (name, tuple(ids))
        if key not in self._known:
            self._known[key] = self.networks[name](torch.tensor([ids])).logits[0]
        return self._known[key]

    def _draw(self, ids: list[int], body: dict[str, Any], seed: int) -> dict[str, Any]:
        chance = torch.Generator().manual_seed(seed)
        tokens: list[int] = []
        log_probs: list[float] = []
        likeliest: list[dict[str, float]] = []
        while len(tokens) < body["max_tokens"] and (not tokens or tokens[-1] not in body["stop_token_ids"]):
            logits = self._logits(body["model"], ids + tokens)[-1].double()
            token = int(torch.multinomial((logits / self.temperature).softmax(-1), 1, generator=chance))
            tokens.append(token)
            told = (logits.log_softmax(-1) + self.shift).tolist()
            log_probs.append(told[token])
            top = max(range(len(told)), key=told.__getitem__)
            likeliest.append({f"word {i}": told[i] for i in {token, top}})
        return {"token_ids": tokens, "logprobs": {"token_logprobs": log_probs, "top_logprobs": likeliest}}


def error(status: int, message: str) -> Reply:
    """A refusal as vLLM words it."""
    return Reply(status=status, body=json.dumps({"error": {"message": message, "code": status}}).encode())


@contextmanager
def double(world: ServedWorld, **settings: Any) -> Iterator[Double]:
    """Run a server of the world's networks."""
    networks = {TARGET: world.model, UNSAFE_NAME: world.unsafe, FRESH: world.model}
    seen = Double(**{"networks": networks, **settings})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = (
            -1
        )  # head and body leave together: apart, the second waits for the first to be acknowledged

        def do_GET(self) -> None:
            seen.keys.add(self.headers.get("Authorization"))
            known = self.path == "/v1/models"
            self._send(Reply(body=json.dumps(seen.models()).encode()) if known else error(404, "Not Found"))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == "/v1/completions"
            self._send(seen.complete(body) if known else error(404, "Not Found"))

        def _send(self, reply: Reply) -> None:
            payload = reply.payload()
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
                self.wfile.flush()
            except OSError:
                self.close_connection = True  # the caller did not wait

        def log_message(self, *args: object) -> None:
            pass

    with serving(Handler) as address:
        seen.url = f"{address}/v1"
        yield seen
