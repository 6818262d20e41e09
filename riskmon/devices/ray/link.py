"""The daemon's end of the hub process: starts it, talks to it, ends it."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from riskmon import logs
from riskmon.config import Config
from riskmon.devices.ray.cluster import Resources, require_ray
from riskmon.devices.ray.hub import serve_hub
from riskmon.errors import UserError, WorkerLost

_POLL_S = 0.2
_END_S = 5.0
_DIED = "the process that holds the connection to Ray died"


class HubLink:
    """A hub process, from its start to its end."""

    def __init__(self, config: Config) -> None:
        require_ray()
        self._patience_s = config.devices.start_timeout.total_seconds()
        # Ray puts sockets into it, whose paths must be short.
        self._folder = tempfile.TemporaryDirectory(
            prefix="riskmon-ray-", dir="/tmp", ignore_cleanup_errors=True
        )
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=serve_hub,
            args=(theirs, config.devices, config.logging, logs.role(), Path(self._folder.name)),
            name="riskmon-ray",
            daemon=True,
        )
        self._process.start()
        theirs.close()

    def joined(self, stop: Callable[[], bool]) -> Resources:
        """Wait until it is connected; returns what the cluster has at present.

        Raises:
            UserError: the cluster cannot be used.
            WorkerLost: the process is gone, it took too long, or the caller stopped waiting.
        """
        until = time.monotonic() + self._patience_s
        while (said := self.hear()) is None:
            if stop():
                raise WorkerLost("stopped while the Ray cluster was joined")
            if time.monotonic() > until:
                raise WorkerLost(
                    f"the Ray cluster did not let us in within {self._patience_s:.0f} s (devices.start_timeout)"
                )
        assert isinstance(said, Resources)
        return said

    def send(self, *message: object) -> None:
        """Tell it something; see `hub`.

        Raises:
            WorkerLost: the process is gone.
        """
        try:
            self._pipe.send(message)
        except OSError as exc:
            raise WorkerLost(_DIED) from exc

    def hear(self) -> Any:
        """What it says next; None when it has said nothing for a moment.

        Raises:
            WorkerLost: the process is gone.
            UserError: the cluster cannot be used.
        """
        ready = wait([self._pipe, self._process.sentinel], timeout=_POLL_S)
        try:
            if self._pipe in ready:
                said = self._pipe.recv()
                if isinstance(said, UserError):
                    raise said
                return said
        except (EOFError, OSError):
            pass
        else:
            if not ready:
                return None
        self._process.join(1)
        raise WorkerLost(f"{_DIED} (exit code {self._process.exitcode})")

    def close(self) -> None:
        """End it, with its actors; and with the cluster, if that is its own."""
        self._pipe.close()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._folder.cleanup()


def survey(config: Config) -> Resources:
    """What the cluster has at present; joins and leaves it.

    Raises:
        UserError: it cannot be used.
        WorkerLost: it did not let us in within `devices.start_timeout`.
    """
    link = HubLink(config)
    try:
        return link.joined(lambda: False)
    finally:
        link.close()
