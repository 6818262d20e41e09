"""Log lines: for people on a console, for collectors as JSON; always to standard error.

Prompts and completions are never logged. Records are named by id and shown by masked reprs.
"""

from __future__ import annotations

import logging
import sys

from riskmon.config import LoggingConfig


def configure(config: LoggingConfig) -> None:
    """Install the root handler; call once per process."""
    handler = logging.StreamHandler(sys.stderr)
    if config.format == "json":
        from pythonjsonlogger.json import JsonFormatter

        handler.setFormatter(
            JsonFormatter(
                "{levelname}{name}{message}",
                style="{",
                timestamp=True,
                rename_fields={"levelname": "level", "name": "logger"},
            )
        )
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
        )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    for chatty in ("kafka", "alembic", "apscheduler", "httpx", "uvicorn.access", "transformers"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
