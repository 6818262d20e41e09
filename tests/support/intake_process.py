"""An intake in a process of its own, without a model: `python -m support.intake_process SETTINGS.pickle`.

It follows the traffic as the daemon does, until SIGTERM; a test may kill it, or run several that share a group.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from riskmon.config import StoreConfig, TrafficConfig

log = logging.getLogger(__name__)

LOOKBACK = timedelta(days=3650)


@dataclass
class IntakeProcess:
    """A started intake; `log` is all it wrote so far."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Ask it to end, and see that it does so cleanly."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0, self.log


@contextmanager
def intakes(folder: Path) -> Iterator[Intakes]:
    """Starts intakes; whatever happens, they are gone afterwards."""
    started = Intakes(folder, [])
    try:
        yield started
    finally:
        for one in started.all:
            if one.process.poll() is None:
                one.kill()


@dataclass
class Intakes:
    """The processes of one test."""

    folder: Path
    all: list[IntakeProcess]

    def start(self, traffic: TrafficConfig, store: StoreConfig, **environment: str) -> IntakeProcess:
        number = len(self.all)
        settings = self.folder / f"intake-{number}.pickle"
        settings.write_bytes(pickle.dumps((traffic, store)))
        log_file = self.folder / f"intake-{number}-{time.monotonic_ns()}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "support.intake_process", str(settings)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=os.environ
                | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
                | environment,
            )
        self.all.append(IntakeProcess(process, log_file))
        return self.all[-1]


def main(settings: str) -> None:
    """Follow until a signal."""
    from riskmon import logs
    from riskmon.config import LoggingConfig
    from riskmon.daemon.ending import Ending
    from riskmon.daemon.following import Following
    from riskmon.store import open_store

    logs.configure(LoggingConfig())
    traffic, store_config = pickle.loads(Path(settings).read_bytes())
    ending = Ending()
    with ending.signals(), open_store(store_config) as store:
        following = Following(traffic, LOOKBACK, store, ending, lambda: datetime.now(UTC), log.error)
        following.start()
        while not ending.begun():
            ending.wait(0.2)
        following.join()
    if ending.fault is not None:
        raise ending.fault


if __name__ == "__main__":
    main(*sys.argv[1:])
