"""Log lines: for people on a console, for collectors as JSON; always to standard error.

Prompts and completions are never logged. Records are named by id and shown by masked reprs. Level `debug` is riskmon's
own: libraries, whose fine print may hold what they work on, stay at `info`.

A message is a sentence for people. What a collector would search or add up goes along as `extra`, and is a key of its
own in JSON: `job`, `harm`, `prompt_id`, `reason`; counts by the noun (`prompts`, `failed`, `left_out`); times with
their unit (`device_seconds`, `retry_seconds`). docs/operations.md lists them. Of `riskmon run` every line in JSON holds
`role` as well.
"""

from __future__ import annotations

import logging
import sys
import traceback

from riskmon.config import LoggingConfig

_role: str | None = None


def speak_as(role: str | None) -> None:
    """Name the role of this process in JSON lines, from the next `configure` on; None names none."""
    global _role
    _role = role


def role() -> str | None:
    """The role that lines name."""
    return _role


def configure(config: LoggingConfig) -> None:
    """Install the root handler; may be called again, when the configuration has changed."""
    handler = logging.StreamHandler(sys.stderr)
    if config.format == "json":
        from pythonjsonlogger.json import JsonFormatter

        handler.setFormatter(
            JsonFormatter(
                "{levelname}{name}{processName}{message}",
                style="{",
                timestamp=True,
                rename_fields={"levelname": "level", "name": "logger", "processName": "process"},
                static_fields={} if _role is None else {"role": _role},
            )
        )
        # What libraries warn of in plain text would be no JSON.
        logging.captureWarnings(True)
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
        )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("riskmon").setLevel(config.level.upper())
    root.setLevel(max(logging.INFO, logging.getLogger("riskmon").level))
    for chatty in ("alembic", "httpcore", "httpx", "transformers", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # What these log is raised or reported to us as well, and then logged once, in our words. The Kafka client would
    # write many lines a second while a broker is away.
    for doubled in ("apscheduler", "kafka"):
        logging.getLogger(doubled).setLevel(logging.CRITICAL)


def as_json() -> bool:
    """Whether log lines are JSON objects."""
    handlers = logging.getLogger().handlers
    return any(type(handler.formatter).__name__ == "JsonFormatter" for handler in handlers)


def describe(exc: BaseException) -> str:
    """An unexpected error for the log: its kind and where it arose.

    Its message is left out: libraries put the values they stumble over into it, and those may be prompts.
    """
    frames = "".join(traceback.format_tb(exc.__traceback__)).rstrip()
    return f"{type(exc).__module__}.{type(exc).__qualname__}\n{frames}"
