"""Further draws: each prompt goes to the actor that remembers its first ones, and results come out in the order asked.

Where that actor is gone, the first estimate stands. Nothing here knows of Ray.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from riskmon.records import Prompt, PromptResult

Home = TypeVar("Home")


@dataclass(eq=False, slots=True)
class _Item:
    prompt: Prompt
    draws: int
    result: PromptResult | None = None
    done: bool = False


class Refinement(Generic[Home]):
    """Prompts that get further draws: those that wait for an actor, those under way, and those that are done."""

    def __init__(
        self, asked: Iterable[tuple[Prompt, int]], home_of: Callable[[Prompt], Home | None], ahead: int
    ) -> None:
        """Begin with nothing under way.

        Args:
            asked: prompts and how many further draws each gets; read only when an actor is idle.
            home_of: the actor that remembers a prompt; None where it is gone.
            ahead: prompts taken at most before the first of them is done.
        """
        self._asked = iter(asked)
        self._home_of = home_of
        self._ahead = ahead
        self._ended = False
        self._in_order: deque[_Item] = deque()
        self._waiting: defaultdict[Home, deque[_Item]] = defaultdict(deque)
        self._under_way: dict[Home, list[_Item]] = {}

    @property
    def over(self) -> bool:
        """Whether all results are out."""
        return self._ended and not self._in_order

    @property
    def pending(self) -> bool:
        """Whether a prompt was taken whose result is not out."""
        return bool(self._in_order)

    @property
    def busy(self) -> tuple[Home, ...]:
        """Actors that are at something."""
        return tuple(self._under_way)

    def draw(self, idle: Sequence[Home]) -> None:
        """Take prompts until there is something for every idle actor, or enough are taken."""
        while (
            not self._ended
            and len(self._in_order) < self._ahead
            and not all(self._waiting[home] for home in idle)
        ):
            pair = next(self._asked, None)
            if pair is None:
                self._ended = True
                return
            item = _Item(*pair)
            self._in_order.append(item)
            home = self._home_of(item.prompt)
            if home is None:
                item.done = True
            else:
                self._waiting[home].append(item)

    def take(self, home: Home, draws: int) -> tuple[tuple[Prompt, int], ...]:
        """What an idle actor does next; empty where there is nothing for it at present.

        Args:
            draws: that are worth asking it at once; the last prompt may go beyond.
        """
        waiting, items = self._waiting[home], []
        while waiting and draws > 0:
            items.append(waiting.popleft())
            draws -= items[-1].draws
        if items:
            self._under_way[home] = items
        return tuple((item.prompt, item.draws) for item in items)

    def answer(self, home: Home, place: int, result: PromptResult | None) -> None:
        """Note an answer to what an actor took."""
        items = self._under_way[home]
        items[place].result, items[place].done = result, True
        if all(item.done for item in items):
            del self._under_way[home]

    def lose(self, home: Home) -> None:
        """Note that an actor is gone, with all it remembered."""
        for item in (*self._under_way.pop(home, ()), *self._waiting.pop(home, ())):
            item.done = True

    def results(self) -> Iterator[PromptResult | None]:
        """Those whose turn it is; None where the first estimate stands."""
        while self._in_order and self._in_order[0].done:
            yield self._in_order.popleft().result
