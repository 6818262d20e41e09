"""Chunks for free devices: in the order of the stream, lazily, and again after a loss."""

from __future__ import annotations

from itertools import count

import pytest

from riskmon.devices.queue import Chunk, PromptQueue
from riskmon.errors import WorkerLost
from riskmon.records import Prompt, PromptResult

DIED = WorkerLost("the device worker died (exit code -9)")


def named(number):
    return Prompt(f"p{number}", "SECRET")


def stream(length, taken=None):
    for number in range(length):
        if taken is not None:
            taken.append(number)
        yield named(number)


def ids(chunk):
    return [prompt.id for prompt in chunk.prompts]


def answer_all(queue, chunk):
    for place, prompt in enumerate(chunk.prompts):
        queue.answer(chunk, place, PromptResult(prompt))


def opened(prompts, **limits):
    """A queue whose first prompt has its estimate."""
    queue = PromptQueue(prompts, **limits)
    answer_all(queue, queue.take(9))
    return queue


def test_the_first_prompts_go_alone_until_one_has_an_estimate():
    queue = PromptQueue(stream(9))
    first, second = queue.take(4), queue.take(4)
    assert (ids(first), ids(second)) == (["p0"], ["p1"])
    queue.answer(first, 0, PromptResult(first.prompts[0], failure="too_long", message="too long"))
    third = queue.take(4)
    assert ids(third) == ["p2"]  # a prompt that was refused says nothing of what one costs
    queue.answer(second, 0, PromptResult(second.prompts[0]))
    assert ids(queue.take(4)) == ["p3", "p4", "p5", "p6"]
    assert ids(queue.take(4)) == ["p7", "p8"]
    assert queue.take(4) is None
    assert not queue.over


def test_the_stream_is_asked_only_when_there_is_a_device():
    taken = []
    queue = opened(stream(99, taken))
    assert taken == [0]
    queue.take(3)
    assert taken == [0, 1, 2, 3]


def test_it_is_over_when_everything_is_answered():
    queue = opened(stream(3))
    chunk = queue.take(5)
    assert queue.take(5) is None
    queue.answer(chunk, 1, PromptResult(chunk.prompts[1]))
    assert chunk.open == (chunk.prompts[0],)
    assert not queue.over
    queue.answer(chunk, 0, PromptResult(chunk.prompts[0]))
    assert queue.over


def test_a_stream_that_says_wait_is_asked_again():
    queue = opened(iter([named(0), named(1), None, named(2), None, None, None, named(3)]))
    first = queue.take(5)
    assert ids(first) == ["p1"]
    second = queue.take(5)
    assert ids(second) == ["p2"]
    assert queue.take(5) is None
    answer_all(queue, first)
    assert not queue.over
    answer_all(queue, second)
    assert queue.take(5) is None  # it waits while nothing is under way: that is the end
    assert queue.over


def test_a_lost_chunk_goes_again_one_by_one_before_anything_new():
    queue = opened(stream(99))
    chunk = queue.take(4)
    queue.answer(chunk, 2, PromptResult(chunk.prompts[2]))
    assert queue.lose(chunk, DIED) == []
    again = [queue.take(4) for _ in range(4)]
    # p3 was answered before the loss; afterwards chunks are half as large.
    assert [ids(part) for part in again] == [["p1"], ["p2"], ["p4"], ["p5", "p6"]]
    assert again[0].prompts[0] is chunk.prompts[0]


def test_chunks_are_halved_again_only_by_a_loss_of_smaller_ones():
    queue = opened(stream(99))
    both = [queue.take(8), queue.take(8)]  # two devices of one machine
    for chunk in both:
        queue.lose(chunk, DIED)
    for _ in range(16):
        answer_all(queue, queue.take(8))
    assert len(queue.take(8)) == 4


def test_a_prompt_lost_alone_is_left_out_and_the_others_are_answered(caplog):
    queue = opened(stream(4))
    queue.lose(queue.take(3), DIED)
    answer_all(queue, queue.take(3))
    deadly = queue.take(3)
    (failed,) = queue.lose(deadly, DIED)
    assert failed.prompt.id == "p2"
    assert (failed.failure, failed.message) == ("worker_lost", str(DIED))
    answer_all(queue, queue.take(3))
    assert queue.take(3) is None
    assert queue.over
    assert "prompt 'p2' left out" in caplog.text
    assert "SECRET" not in caplog.text


def test_among_several_machines_a_prompt_gets_a_second_one():
    queue = opened(stream(3), alone_limit=2, loss_limit=9)
    first = queue.take(1)
    assert queue.lose(first, DIED) == []
    second = queue.take(1)
    assert second.prompts == first.prompts
    assert [result.failure for result in queue.lose(second, DIED)] == ["worker_lost"]
    assert ids(queue.take(1)) == ["p2"]


def test_too_many_losses_end_it_with_the_last():
    queue = PromptQueue(stream(99), loss_limit=3)
    assert [queue.lose(queue.take(4), DIED)[0].prompt.id for _ in range(2)] == ["p0", "p1"]
    last = WorkerLost("the third")
    with pytest.raises(WorkerLost) as caught:
        queue.lose(queue.take(4), last)
    assert caught.value is last


def test_losses_of_chunks_do_not_add_up_to_the_end():
    """Chunks may need more memory than single prompts; each loss makes them smaller, so there is an end to them."""
    queue = opened(stream(10_000))
    sizes = []
    for _ in count():
        chunk = queue.take(64)
        if len(chunk) > 1:
            sizes.append(len(chunk))
            queue.lose(chunk, DIED)
        else:
            answer_all(queue, chunk)
        if sizes and sizes[-1] == 2 and not queue._again:
            break
    assert sizes == [64, 32, 16, 8, 4, 2]
    assert len(queue.take(64)) == 1


def test_a_device_lost_after_its_last_answer_costs_nothing():
    queue = opened(stream(3), loss_limit=1)
    chunk = queue.take(1)
    answer_all(queue, chunk)
    assert queue.lose(chunk, DIED) == []
    assert ids(queue.take(1)) == ["p2"]


def test_a_chunk_never_shows_its_text():
    queue = opened(stream(3))
    chunk = queue.take(2)
    assert isinstance(chunk, Chunk)
    assert "SECRET" not in repr(chunk)
