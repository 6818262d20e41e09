"""`riskmon demo`: the main job on one machine, from production prompts to a forecast, with nothing to set up.

A broker, a traffic generator and a model are started, then the real daemon beside them; the tour tells what happens
and shows the forecast after every estimate cycle. It ends by `--for`, by Ctrl-C or by SIGTERM, and leaves no process
and no file behind but the converted model in the cache.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from riskmon.demo import models
from riskmon.demo.broker import HOST, find_program, free_port, is_free, start_broker
from riskmon.demo.children import Child
from riskmon.demo.daemon import DemoDaemon
from riskmon.demo.ending import Ending
from riskmon.demo.feed import Feed
from riskmon.demo.screen import Screen
from riskmon.demo.settings import REAL, TINY, WINDOW, store_url, write_settings
from riskmon.demo.traffic import ROUTES, Traffic
from riskmon.errors import RiskmonError, TrafficUnavailable, UserError
from riskmon.publish import names
from riskmon.records import Forecast
from riskmon.store import Store, open_store

_SEED = 7
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# So many times busier than the day before: two messages a second, so that the counters can be seen to move.
_LIVE_PACE = 8.0
# Where there is no terminal: how often a line is printed once the first forecast is out.
_STEADY_EVERY_S = 60.0

_TELLING = (
    names.TOTAL_DAILY_HARMFUL_OUTPUTS,
    names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER,
    names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER,
    names.RISK_BUDGET,
    names.DAILY_HARMFUL_OUTPUTS,
    names.UNCOVERED_HARM_PROBABILITY_UPPER,
    names.KAFKA_LAG,
)


def run_demo(*, tiny: bool, seconds: float | None, port: int) -> int:
    """Run the tour.

    Args:
        tiny: with a toy model made on the spot, and no package for model or judge.
        seconds: end after so many; None runs until a signal.
        port: of the page on 127.0.0.1; 0, or one that is taken, gives way to a free one.

    Returns:
        0 at the end of its time, 128 + the signal otherwise: 130 after Ctrl-C.

    Raises:
        UserError: a package is missing, or the daemon cannot use what it is given.
        RiskmonError: a part ended by itself, or there was no forecast in time.
    """
    find_program()
    with ExitStack() as stack:
        ending = stack.enter_context(Ending(seconds))
        screen = stack.enter_context(Screen())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="riskmon-demo-")))
        making, model = _begin_model(tiny, folder, screen)
        if making is not None:
            stack.enter_context(making)
        broker, address = start_broker(folder)
        stack.enter_context(broker)
        screen.say(f"broker up: Kafka protocol on {address}")
        feed = stack.enter_context(Feed(address))
        visit = Visit(screen, ending, feed, Traffic(_SEED), broker)
        visit.write_past(datetime.now(UTC))
        if making is not None:
            visit.await_model(making)
        store = stack.enter_context(open_store(store_url(folder)))
        daemon = None
        if not ending.over:
            daemon = stack.enter_context(_start_daemon(tiny, folder, model, address, port, screen))
            visit.follow(daemon, store)
        screen.waiting("ending: the daemon finishes what is under way")
        if daemon is not None and not daemon.ended_in_order():
            raise RiskmonError(f"the daemon did not end in order: {daemon.last_words()}")
        forecasts = visit.show_latest(store)
    if ending.exit_code is not None:
        return ending.exit_code
    if not forecasts:
        raise RiskmonError(
            f"no forecast was made within {seconds:g} s; give the demo more time, such as --for 300, or none at all"
        )
    return 0


@dataclass
class Visit:
    """The parts of the tour that are up, and how far it has come."""

    screen: Screen
    ending: Ending
    feed: Feed
    traffic: Traffic
    broker: Child
    fed_until: datetime = _EPOCH
    shown: datetime | None = None

    def write_past(self, now: datetime) -> None:
        """Fill the topic with the day before `now`, so that the volume forecast has a whole day to rest on.

        Reaches back to the start of a counting window: one that is half empty would be taken for a quiet one.
        """
        since = now - _DAY
        since -= (since - _EPOCH) % WINDOW
        self.feed.send(self.traffic.messages(since, now))
        self.fed_until = now
        hours = (now - since) / timedelta(hours=1)
        self.screen.say(
            f"{self.feed.sent:,} messages of the past {hours:.0f} hours written, on {len(ROUTES)} routes"
        )

    def await_model(self, making: Child) -> None:
        """Wait until the model is made.

        Raises:
            RiskmonError: it could not be made.
        """
        while making.exit_code is None and not self.ending.over:
            self.screen.waiting("preparing the model")
            self.ending.pause()
        if self.ending.over:
            return
        if making.exit_code:
            raise RiskmonError(f"the model could not be prepared: {making.last_words(1)}")
        self.screen.say("model prepared")

    def follow(self, daemon: DemoDaemon, store: Store) -> None:
        """Keep the traffic flowing and tell what the daemon does, until the tour is over.

        Raises:
            UserError, RiskmonError: the daemon ended by itself. TrafficUnavailable: the broker did.
        """
        ready = False
        while not self.ending.over:
            for trouble in daemon.new_troubles():
                self.screen.say(f"daemon, {trouble}")
            self._require_running(daemon)
            self._feed_until(datetime.now(UTC))
            if not ready and (ready := daemon.ready()):
                self.screen.say("model loaded; the first estimate cycle begins within seconds")
            self._tell(daemon, store, ready)
            self.ending.pause()

    def show_latest(self, store: Store) -> list[Forecast]:
        """The forecast as the tour leaves it, where it has not been shown; what it shows is returned."""
        forecasts = store.latest_forecasts()
        if forecasts and self.shown is None:
            self.screen.show_forecast(forecasts)
        counters = store.counters()
        self.screen.say(
            f"ended; messages written: {self.feed.sent:,}, read: {counters.consumed:,}; "
            f"prompts estimated: {counters.estimated_prompts}"
        )
        return forecasts

    def _feed_until(self, now: datetime) -> None:
        self.feed.send(self.traffic.messages(self.fed_until, now, pace=_LIVE_PACE))
        self.fed_until = now

    def _require_running(self, daemon: DemoDaemon) -> None:
        if self.broker.exit_code is not None:
            raise TrafficUnavailable(f"the embedded broker ended by itself: {self.broker.last_words()}")
        if daemon.exit_code is not None:
            error = UserError if daemon.exit_code == 2 else RiskmonError
            raise error(f"the daemon ended by itself: {daemon.last_words(1).removeprefix('riskmon: ')}")

    def _tell(self, daemon: DemoDaemon, store: Store, ready: bool) -> None:
        counters = store.counters()
        progress = f"prompts estimated: {counters.estimated_prompts}, messages read: {counters.consumed:,}"
        if not ready:
            self.screen.waiting("the daemon loads the model")
        elif self.shown is None:
            self.screen.waiting(f"first estimate cycle, {progress}")
        else:
            self.screen.waiting(f"{progress}; see {daemon.url}/ (Ctrl-C ends)", plain_every_s=_STEADY_EVERY_S)
        cycle = store.last_complete_cycle()
        if cycle is None or cycle.finished_at == self.shown:
            return
        forecasts = store.latest_forecasts()
        if not forecasts or forecasts[0].made_at < cycle.finished_at:
            return  # the forecast of this cycle is being made
        first, self.shown = self.shown is None, cycle.finished_at
        self.screen.say(
            f"estimate cycle complete: {cycle.prompts} prompts in {cycle.duration_seconds:.0f} s, "
            f"{cycle.left_out} sampled prompts wait for later cycles"
        )
        self.screen.show_forecast(forecasts)
        if first:
            self.screen.show(
                [
                    f"page     {daemon.url}/",
                    f"metrics  {daemon.url}/metrics",
                    f"ready    {daemon.url}/readyz",
                    "",
                    *daemon.metric_lines(_TELLING),
                ]
            )


def _begin_model(tiny: bool, folder: Path, screen: Screen) -> tuple[Child | None, Path]:
    """Begin to make the model where it is not there yet; its folder is whole when the process has ended."""
    log = folder / "model.log"
    if tiny:
        screen.say("training a toy model")
        return models.start_tiny(folder / "model", log), folder / "model"
    cached = models.cache_folder()
    if cached.is_dir():
        screen.say(f"model {models.NAME}, from the cache {cached}")
        return None, cached
    screen.say(f"converting {models.NAME} from its package to {cached}, once")
    return models.start_conversion(log), cached


def _start_daemon(
    tiny: bool, folder: Path, model: Path, bootstrap: str, port: int, screen: Screen
) -> DemoDaemon:
    if port and not is_free(port):
        screen.say(f"port {port} is taken: the page moves to a free one")
        port = 0
    listen = f"{HOST}:{port or free_port()}"
    scale = TINY if tiny else REAL
    config = write_settings(
        folder, scale, model=model, bootstrap=bootstrap, listen=listen, now=datetime.now(UTC)
    )
    screen.say(f"starting the daemon (riskmon run -c {config}); its page is http://{listen}/")
    return DemoDaemon(config, folder / "daemon.log", f"http://{listen}", scale.environment)
