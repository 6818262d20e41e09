"""SIGHUP: the configuration file is read again, and what can change while the daemon runs is taken over.

`riskmon.config.reload` says which keys these are. Keys that need a restart are named in a warning and keep their old
value. A file that is refused changes nothing: one sentence in the log, `riskmon_config_last_reload_successful` at 0.
A job under way ends with the settings it began with.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

from riskmon import logs
from riskmon.config import Config
from riskmon.config.reload import Reload, merge
from riskmon.errors import ConfigError
from riskmon.publish import ConfigState

log = logging.getLogger(__name__)


class Reloading:
    """The configuration in force.

    Args:
        config: as read at start.
        reread: reads the file again.
        clock: the present moment.

    Attributes:
        config: in force.
        state: how the file was read last.
    """

    def __init__(self, config: Config, reread: Callable[[], Config], clock: Callable[[], datetime]) -> None:
        self.config = config
        self.state = ConfigState(clock())
        self._reread = reread
        self._clock = clock
        self._asked = False
        self._at_terminal = sys.stderr.isatty()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """While inside, SIGHUP asks for a reload."""

        def note(_: int, __: FrameType | None) -> None:
            self._asked = True

        before = signal.signal(signal.SIGHUP, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    @property
    def terminal_closed(self) -> bool:
        """Whether the signal meant what it once stood for: the terminal that the daemon runs at is gone."""
        return self._asked and self._at_terminal and not sys.stderr.isatty()

    def look(self, take_over: Callable[[Config], None]) -> None:
        """Reload if that was asked for since the last look.

        Args:
            take_over: told the configuration in force when it has changed.
        """
        if not self._asked:
            return
        self._asked = False  # before the file is read: a signal during the reading asks for another one
        reload = self._merged()
        if reload is None:
            self.state = ConfigState(self.state.loaded_at, refused=True, pending=self.state.pending)
            return
        self.config = reload.config
        self.state = ConfigState(self._clock(), pending=reload.kept)
        if reload.changed:
            take_over(reload.config)
        _tell(reload)

    def _merged(self) -> Reload | None:
        try:
            return merge(self.config, self._reread())
        except ConfigError as exc:
            reason = str(exc)
        except Exception as exc:  # noqa: BLE001 - a file must not end the daemon, whatever it holds
            reason = logs.describe(exc)
        log.error("the configuration was not reloaded, and the one before holds: %s", reason)
        return None


def _tell(reload: Reload) -> None:
    changed = ", ".join(reload.changed) or "no change"
    log.info("configuration reloaded: %s", changed, extra={"changed": list(reload.changed)})
    if reload.kept:
        log.warning(
            "needs a restart: %s; until then the old values stay in force",
            ", ".join(reload.kept),
            extra={"needs_restart": list(reload.kept)},
        )
