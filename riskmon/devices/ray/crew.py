"""The actors as the daemon sees them: which are up, which are busy, which begin anew.

Each place of the crew has one actor at a time. One that is lost is followed by another at once, up to a few times
without an answer in between; then its place stays empty until the crew is filled up again. Before an actor gets its
first question it chooses the plans in force, so that all draw alike.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from riskmon import __version__
from riskmon.config import Config
from riskmon.devices.answering import Answer, Pulse
from riskmon.devices.base import Loss, WorkerInfo
from riskmon.devices.ray.actor import Arrival, Lines, Said
from riskmon.devices.ray.cluster import Resources
from riskmon.devices.ray.link import HubLink
from riskmon.devices.ray.member import Basis, Event, Member, Task
from riskmon.devices.ray.placing import for_an_actor, wanted
from riskmon.devices.tally import Tally
from riskmon.errors import ClusterUnusable, UserError, WorkerLost

log = logging.getLogger(__name__)

# Actors lost one after the other at one place, without an answer in between, after which it stays empty for a while.
_LOST_IN_A_ROW = 3


class Crew:
    """All actors of one daemon.

    Args:
        on_loss: told of each actor that was lost without anybody asking for its end.

    Attributes:
        basis: of the plans in force.
    """

    def __init__(self, config: Config, on_loss: Callable[[Loss], None]) -> None:
        self.basis: Basis | None = None
        self.tallies: defaultdict[int, Tally] = defaultdict(Tally)  # place -> over all lives
        self._config = config
        self._on_loss = on_loss
        self._link: HubLink | None = None
        self._resources = Resources(0, 0)
        self._gpu = False
        self._places = 0
        self._members: dict[int, Member] = {}
        self._begun = 0
        self._lost_in_a_row: Counter[int] = Counter()
        self._refused: UserError | None = None
        self._last_loss: WorkerLost | None = None

    @property
    def joined(self) -> bool:
        """Whether there is a connection to the cluster."""
        return self._link is not None

    @property
    def idle(self) -> list[Member]:
        """Those that wait for a question."""
        return [member for member in self._members.values() if member.task is Task.IDLE]

    def member(self, number: int | None) -> Member | None:
        """The member of a number, while it lives."""
        return None if number is None else self._members.get(number)

    def start(self, stop: Callable[[], bool]) -> WorkerInfo:
        """Join the cluster, begin all actors, and wait until all are up; at last without those that take too long.

        Raises:
            UserError: the cluster, the model, an expert or a judge cannot be used.
            WorkerLost: no actor came up, or the caller stopped waiting.
        """
        self.close()
        try:
            self._link = HubLink(self._config)
            self._resources = self._link.joined(stop)
            self._gpu, self._places = wanted(self._config, self._resources)
            self.fill_up()
            info = self._wait_for_all(stop)
        except BaseException:
            self.close()
            raise
        return info

    def fill_up(self) -> None:
        """Begin an actor at every place without one."""
        self._lost_in_a_row.clear()
        self._refused = self._last_loss = None
        for place in sorted(set(range(self._places)) - {m.place for m in self._members.values()}):
            self._begin(place)

    def ask(self, member: Member, question: tuple[object, ...], expected: int) -> None:
        """Put a question to a member that waits for one.

        Args:
            expected: answers there will be.
        """
        self._put(member, question, expected, Task.ASKED)

    def disregard(self, members: Iterable[Member]) -> None:
        """Let members finish what they were asked, and drop what they say."""
        for member in members:
            if member.task is Task.ASKED:
                member.task = Task.STALE

    def next(self, deadline: float, stop: Callable[[], bool]) -> Event:
        """Wait for something to happen.

        Raises:
            WorkerLost: no actor is left, what is under way overran the deadline and was ended, or the caller stopped
                waiting and everything was ended.
            UserError: no actor is left, since the model cannot be loaded any more.
        """
        while True:
            if stop():
                self.close()
                raise WorkerLost("stopped while actors were busy")
            if time.monotonic() > deadline:
                for member in [m for m in self._members.values() if m.at_work]:
                    self._lose(member, Loss.DEADLINE)
                raise WorkerLost("actors overran the deadline and were ended")
            self._require_any()
            event = self._turn()
            if event is not None:
                return event

    def close(self) -> None:
        """End all actors, and the connection."""
        if self._link is not None:
            self._link.close()
        self._link = None
        for member in self._members.values():
            self.tallies[member.place].end()
        self._members.clear()

    # ---- one thing at a time

    def _wait_for_all(self, stop: Callable[[], bool]) -> WorkerInfo:
        infos: list[WorkerInfo] = []
        until = time.monotonic() + self._patience_s
        while self._loading and time.monotonic() < until:
            if stop():
                raise WorkerLost("stopped while the actors were loading")
            self._turn(infos)
            if self._refused is not None:
                raise self._refused
        if not infos and self._last_loss is not None:
            raise self._last_loss
        if not infos:
            raise WorkerLost(
                f"no actor came up within {self._patience_s:.0f} s (devices.start_timeout); the cluster has "
                f"{self._resources}, and 'ray status' tells who uses them"
            )
        up = f"{len(infos)}" if len(infos) == self._places else f"{len(infos)} of {self._places}"
        noun = "actor" if self._places == 1 else "actors"
        return WorkerInfo(f"ray: {up} {noun} ({infos[0].device})", infos[0].judges, infos[0].contrasts)

    @property
    def _patience_s(self) -> float:
        return self._config.devices.start_timeout.total_seconds()

    @property
    def _loading(self) -> bool:
        return any(member.task is Task.LOADING for member in self._members.values())

    def _require_any(self) -> None:
        """One that is up, or may soon be."""
        since = time.monotonic() - self._patience_s
        if not any(m.task is not Task.LOADING or m.begun > since for m in self._members.values()):
            raise self._refused or self._last_loss or WorkerLost("no actor is left")

    def _turn(self, infos: list[WorkerInfo] | None = None) -> Event | None:
        """Wait a moment for what the hub says, and heed it.

        Args:
            infos: gets what actors say that came up.
        """
        assert self._link is not None
        try:
            said = self._link.hear()
        except WorkerLost:
            self._hub_lost()
            raise
        if said is None or (member := self._members.get(said[1])) is None:
            return None
        if said[0] == "lost":
            return self._lose(member, Loss.DIED, f"{member} died ({said[2]})")
        heard: Said = pickle.loads(said[2])
        _write(heard.lines)
        member.node = heard.node
        return self._heed(member, heard.what, infos)

    def _heed(self, member: Member, what: object, infos: list[WorkerInfo] | None) -> Event | None:
        if isinstance(what, Pulse):
            self.tallies[member.place].hear(what)
            return None
        if isinstance(what, Answer):
            return self._heed_answer(member, what)
        if isinstance(what, Arrival) and what.version == __version__:
            member.pid = what.pid
            log.debug("actor %d is up on %s, pid %d", member.place, member.node, member.pid)
            if infos is not None:
                infos.append(what.info)
            return self._free(member)
        if isinstance(what, Arrival):
            what = ClusterUnusable(
                f"riskmon is {__version__} here and {what.version} on the node {member.node}; install the same version "
                "on every node of the Ray cluster"
            )
        elif isinstance(what, UserError) and self._resources.nodes > 1:
            what = type(what)(f"{what} (on the node {member.node})")
        if isinstance(what, UserError):
            self._refused = what
            self._dismiss(member)
            if infos is None:
                log.error("actor %d did not come up again: %s", member.place, what)
            return None
        return self._lose(member, Loss.FAILED, f"{member} failed: {what}")

    def _heed_answer(self, member: Member, answer: Answer) -> Event | None:
        tally = self.tallies[member.place]
        tally.hear(answer)
        member.expected -= 1
        waited_for, ready = member.task is Task.ASKED, None
        if waited_for:
            self._lost_in_a_row[member.place] = 0
        if not member.expected:
            tally.rest()
            ready = self._free(member)
        return Event(member, answer) if waited_for else ready

    def _free(self, member: Member) -> Event | None:
        """It has nothing to do; unless it does not know the plans in force."""
        member.task = Task.IDLE
        if self.basis is None or member.basis is self.basis:
            return Event(member)
        member.basis = self.basis
        self._put(member, ("replan", *self.basis), 1, Task.PLANNING)
        return None

    def _tell(self, *message: object) -> None:
        assert self._link is not None
        try:
            self._link.send(*message)
        except WorkerLost:
            self._hub_lost()
            raise

    def _hub_lost(self) -> None:
        """All actors are lost with it; the next question joins anew."""
        self._on_loss(Loss.DIED)
        self.close()

    # ---- actors

    def _begin(self, place: int) -> None:
        self._begun += 1
        packed = pickle.dumps((for_an_actor(self._config, gpu=self._gpu), f"riskmon-actor-{place}"))
        self._members[self._begun] = Member(self._begun, place, time.monotonic())
        self._tell("start", self._begun, self._gpu, packed)

    def _put(self, member: Member, question: tuple[object, ...], expected: int, task: Task) -> None:
        member.task, member.expected = task, expected
        self.tallies[member.place].ask()
        self._tell("ask", member.number, pickle.dumps(question))

    def _lose(self, member: Member, why: Loss, message: str = "") -> Event:
        """End what is left of an actor, say that it was lost, and begin another."""
        self._dismiss(member)
        self._on_loss(why)
        self._lost_in_a_row[member.place] += why is not Loss.DEADLINE
        if self._lost_in_a_row[member.place] < _LOST_IN_A_ROW:
            self._begin(member.place)
        else:
            log.error(
                "%d actors in a row were lost at place %d, which stays empty for the rest of the cycle",
                *(_LOST_IN_A_ROW, member.place),
            )
        self._last_loss = WorkerLost(message)
        return Event(member, lost=self._last_loss)

    def _dismiss(self, member: Member) -> None:
        self.tallies[member.place].end()
        del self._members[member.number]
        self._tell("end", member.number)


def _write(lines: Lines) -> None:
    """Write an actor's log lines among our own."""
    for record in lines:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
