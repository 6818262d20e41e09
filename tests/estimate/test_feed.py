"""What is given to devices while others are under way, and in which order results come out."""

import pytest
from estimate.test_cycle import result_of

from riskmon.estimate.feed import Feed
from riskmon.records import Prompt, PromptResult

PROMPTS = [Prompt(str(i), "text") for i in range(9)]


class Setting:
    """A feed with a clock and a device whose seconds the test spends."""

    def __init__(self, *, budget_s=1000.0, deadline=1000.0):
        self.now = 0.0
        self.spent = 0.0
        self.stopped = False
        self.feed = Feed(
            PROMPTS,
            lambda: self.spent,
            budget_s,
            deadline,
            lambda: self.stopped,
            lambda: self.now,
        )
        self.stream = self.feed.stream()

    def next(self):
        """Id of the next prompt, None to wait, "end" at the end."""
        prompt = next(self.stream, "end")
        return prompt if prompt in (None, "end") else prompt.id

    def done(self, place, *, seconds=0.0, wall=0.0, failure=None):
        """A result comes back; ids of those that are handed on."""
        self.spent += seconds
        self.now += wall
        prompt = PROMPTS[place]
        result = result_of(prompt) if failure is None else PromptResult(prompt, failure=failure)
        return [ready.prompt.id for ready in self.feed.take(result)]


def test_those_under_way_are_reckoned_at_the_mean_cost_so_far():
    own = Setting(budget_s=35.0)
    assert own.next() == "0"
    own.done(0, seconds=10.0)
    # 10 spent; 1 and 2 under way will take it to 30, so there is room for 3, and none for 4.
    assert [own.next() for _ in range(5)] == ["1", "2", "3", None, None]
    own.done(1, seconds=4.0)
    # 14 spent, and 2 and 3 at seven each leave room for one more.
    assert [own.next() for _ in range(2)] == ["4", None]


def test_cheaper_ones_make_room_again():
    own = Setting(budget_s=25.0)
    own.next()
    own.done(0, seconds=10.0)
    assert [own.next() for _ in range(3)] == ["1", "2", None]
    own.done(1, seconds=1.0)
    own.done(2, seconds=1.0)
    assert own.next() == "3"


def test_the_last_prompt_may_overrun_the_budget_and_ends_the_stream():
    own = Setting(budget_s=25.0)
    for place in range(3):
        assert own.next() == str(place)
        own.done(place, seconds=10.0)
    assert own.next() == "end"


def test_failures_cost_what_they_cost_and_end_nothing():
    own = Setting(budget_s=1.0)
    for place in range(9):
        assert own.next() == str(place)
        own.done(place, failure="too_long")
    assert own.next() == "end"


def test_before_anything_is_known_each_free_device_may_have_one():
    own = Setting(budget_s=1.0)
    assert [own.next() for _ in range(3)] == ["0", "1", "2"]


def test_a_spent_budget_leaves_one_prompt():
    own = Setting(budget_s=1.0)
    own.spent = 2.0
    assert [own.next() for _ in range(2)] == ["0", None]
    own.done(0, seconds=1.0)
    assert own.next() == "end"


def test_a_stop_ends_the_stream_at_once_and_what_is_under_way_is_taken():
    own = Setting()
    assert [own.next() for _ in range(2)] == ["0", "1"]
    own.stopped = True
    assert own.next() == "end"
    assert own.done(0) == ["0"]
    assert own.done(1) == ["1"]


def test_a_stop_while_it_waits_ends_it_too():
    own = Setting(budget_s=15.0)
    own.next()
    own.done(0, seconds=10.0)
    assert [own.next() for _ in range(2)] == ["1", None]
    own.stopped = True
    assert own.next() == "end"


def test_results_are_handed_on_in_order():
    own = Setting()
    assert [own.next() for _ in range(4)] == ["0", "1", "2", "3"]
    assert own.done(2) == []
    assert own.done(0) == ["0"]
    assert own.done(3, failure="too_long") == []
    assert own.done(1) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("walls", "given"),
    [
        # Ten seconds each so far: 60 are left, and six prompts at once may take them all.
        ([10.0, 10.0], 6),
        # One took 30, so what is begun may take as long; but 60 are enough for four at 17.5 on average.
        ([5.0, 30.0], 3),
    ],
)
def test_no_more_are_under_way_than_can_be_done_before_the_deadline(walls, given):
    own = Setting(deadline=sum(walls) + 60.0)
    for place, wall in enumerate(walls):
        own.next()
        own.done(place, wall=wall)
    found = [own.next() for _ in range(given + 1)]
    assert found == [*(str(2 + i) for i in range(given)), None]


def test_what_the_slowest_took_must_be_left():
    own = Setting(deadline=100.0)
    for place, wall in enumerate([40.0, 1.0, 1.0, 1.0, 18.0]):
        assert own.next() == str(place)
        own.done(place, wall=wall)
    assert own.feed.late()
    assert own.next() == "end"
