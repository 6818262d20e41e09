"""A report posted as JSON: to a chat's incoming webhook, a ticket system, or a program of your own.

Timeouts, broken connections and the statuses 408, 429 and 5xx are tried again after a wait that doubles. Redirects are
not followed: the secret must not go elsewhere. The address may be a secret in itself, so messages name its host alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

from riskmon import __version__
from riskmon.config import WebhookConfig
from riskmon.errors import DeliveryFailed
from riskmon.reporting.rendered import RenderedReport

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0
_PASSING = frozenset({408, 429})


def post(
    config: WebhookConfig, rendered: RenderedReport, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Post a report, and try again where that may help.

    Args:
        sleep: how it waits between tries, in seconds.

    Raises:
        DeliveryFailed: it was refused, or no try came through.
    """
    body = dict(rendered.summary)
    if config.content == "whole":
        body["report"] = rendered.document
    headers = {
        "User-Agent": f"riskmon/{__version__}",
        # A receiver that got a report before its answer was lost can tell the second one from a new one.
        "Idempotency-Key": rendered.name,
    }
    if config.secret is not None:
        headers[config.header] = config.secret.get_secret_value().strip()
    fault = ""
    for tries in range(config.retries + 1):
        if tries:
            sleep(min(_FIRST_WAIT_S * 2.0 ** (tries - 1), _LONGEST_WAIT_S))
        try:
            answer = httpx.post(
                config.url.get_secret_value(),
                json=body,
                headers=headers,
                timeout=config.timeout.total_seconds(),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            fault = type(exc).__name__
            continue
        if answer.is_success:
            return
        fault = f"status {answer.status_code}"
        if answer.status_code < 500 and answer.status_code not in _PASSING:
            break
    host = urlsplit(config.url.get_secret_value()).hostname
    raise DeliveryFailed(f"the webhook at {host} did not take the report ({fault}); see report.webhook")
