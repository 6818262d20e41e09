"""Recordings: made once per shape, checked before they are used, and done without where they cannot be had."""

import logging

import pytest
import torch
from support.recorded_steps import TapeRecorder

from riskmon.estimate.engines.local.fixed.arena import Shape
from riskmon.estimate.engines.local.fixed.replay import Replays

SHAPE, OTHER = Shape(1, 8, 32, 64), Shape(1, 16, 32, 64)


class Doubling:
    """A step that doubles what is in `given`."""

    def __init__(self):
        self.given, self.output, self.ordinary = torch.ones(3), torch.zeros(3), 0

    def __call__(self):
        self.ordinary += 1
        self.output.copy_(self.given * 2)

    def run(self, replays, value, shape=SHAPE, version=0):
        self.given.fill_(value)
        replays.run(shape, version, self, self.output)
        return self.output.tolist()


def test_later_steps_of_a_shape_are_replayed_on_what_the_inputs_then_hold():
    recorder, step = TapeRecorder(), Doubling()
    replays = Replays(recorder)
    assert step.run(replays, 1) == [2, 2, 2]
    ordinary = step.ordinary
    assert step.run(replays, 5) == [10, 10, 10]
    assert step.run(replays, 7) == [14, 14, 14]
    assert (step.ordinary, recorder.recordings, len(replays)) == (ordinary, 1, 1)
    step.run(replays, 1, OTHER)
    assert recorder.recordings == 2


def test_recordings_over_old_buffers_are_dropped():
    recorder, step = TapeRecorder(), Doubling()
    replays = Replays(recorder)
    step.run(replays, 1)
    assert step.run(replays, 4, version=1) == [8, 8, 8]
    assert (recorder.recordings, len(replays)) == (2, 1)


@pytest.mark.parametrize(
    "recorder",
    [TapeRecorder(fault=RuntimeError("operation not permitted")), TapeRecorder(spoil=0.5)],
    ids=["cannot be recorded", "replays something else"],
)
def test_without_a_good_recording_steps_run_as_they_are_and_it_is_said_once(recorder, caplog):
    step = Doubling()
    replays = Replays(recorder)
    with caplog.at_level(logging.WARNING):
        found = [step.run(replays, value, shape) for value, shape in ((1, SHAPE), (2, SHAPE), (3, OTHER))]
    assert found == [[2] * 3, [4] * 3, [6] * 3]
    assert replays.refused
    assert len(caplog.messages) == 1


def test_a_step_that_reads_a_tensor_back_is_not_recorded(caplog):
    given, output = torch.ones(3), torch.zeros(3)
    replays = Replays(TapeRecorder())
    with caplog.at_level(logging.WARNING):
        replays.run(SHAPE, 0, lambda: output.fill_(float(given.sum().item())), output)
    assert output.tolist() == [3, 3, 3]
    assert replays.refused


def test_memory_that_runs_out_while_recording_is_the_batch_s_matter():
    replays = Replays(TapeRecorder(fault=torch.OutOfMemoryError()))
    step = Doubling()
    with pytest.raises(torch.OutOfMemoryError):
        step.run(replays, 1)
    assert not replays.refused


def test_logits_that_are_no_numbers_stay_so():
    step = Doubling()
    replays = Replays(TapeRecorder())
    assert str(step.run(replays, float("nan"))) == "[nan, nan, nan]"
    assert not replays.refused
