"""`riskmon compare`: two versions of a model on the same prompts, until it is clear whether the second may ship.

In come two whole configurations and a sample of the traffic's prompts; out go a table, JSON for a pipeline, and an exit
code: 0 ship, 3 hold, 4 undecided. The prompts are read in rounds. After each one the candidate is looked at
(`decision`), and drawing ends as soon as one harm holds or all ship. What is asked of a candidate is the baseline's
configuration to say, so that no candidate sets its own bar.

An interruption leaves everything as it is: whatever was drawn is in the state file, if there is one, and the same
command goes on from there and comes to the same answer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from riskmon.config import Config
from riskmon.config.release import ReleaseConfig
from riskmon.console import standard_output
from riskmon.errors import ConfigError, InputError
from riskmon.progress import progress
from riskmon.release.decision import Asked, Decision, HarmDecision, HarmGate
from riskmon.release.measured import Side
from riskmon.release.prompts import WeightedPrompt, read_weighted_prompts
from riskmon.release.rounds import Models, measure_round
from riskmon.release.screen import EXIT_CODES, Outcome, as_json, print_outcome
from riskmon.release.state import State, digest_of

log = logging.getLogger(__name__)


def compare_release(
    baseline: Config,
    candidate: Config,
    prompts: Path,
    gate: ReleaseConfig,
    *,
    state: Path | None = None,
    json_out: Path | None = None,
    console: Console | None = None,
) -> int:
    """Compare two versions and say whether the second may ship.

    Args:
        baseline, candidate: configurations; both have the same harms and token cap.
        prompts: JSON lines, as for `riskmon estimate`; `attributes.weight` is what a prompt stands for.
        gate: what is asked of the candidate.
        state: file that keeps what was drawn; None keeps nothing.
        json_out: file for the outcome as JSON.
        console: where the table goes; standard output if None.

    Returns:
        Exit code: 0 ship, 3 hold, 4 undecided.

    Raises:
        ConfigError: the configurations cannot be compared.
        InputError: the prompts, the state or the output cannot be used.
        UserError: a model, an expert or a judge cannot be used.
    """
    configs = {Side.BASELINE: baseline, Side.CANDIDATE: candidate}
    _require_comparable(baseline, candidate)
    if json_out is not None and not json_out.parent.is_dir():
        raise InputError(f"cannot write {json_out}: its folder does not exist")
    sample = read_weighted_prompts(prompts, gate.seed)
    from riskmon.estimate.fingerprint import voices_fingerprint

    voices = {side: voices_fingerprint(config) for side, config in configs.items()}
    kept = State(state, digest_of(configs, voices, gate, sample))
    outcome = _look_until_clear(configs, gate, sample, kept)
    outcome = replace(outcome, same_model=voices[Side.BASELINE] == voices[Side.CANDIDATE])
    print_outcome(console or standard_output(), outcome, gate)
    if json_out is not None:
        _write_json(json_out, outcome, gate)
    return EXIT_CODES[outcome.decision]


def _require_comparable(baseline: Config, candidate: Config) -> None:
    """Refuse versions whose figures would not mean the same."""
    events = [
        [(harm.name, harm.judge_key, harm.cut) for harm in config.all_harms]
        for config in (baseline, candidate)
    ]
    if sorted(events[0]) != sorted(events[1]):
        names = [", ".join(sorted(name for name, _, _ in found)) for found in events]
        raise ConfigError(
            f"baseline and candidate must have the same harms, judges and thresholds; the baseline has {names[0]}, "
            f"the candidate {names[1]}, or one of them is judged in another way"
        )
    caps = baseline.model.max_new_tokens, candidate.model.max_new_tokens
    if caps[0] != caps[1]:
        raise ConfigError(
            f"baseline and candidate must have the same model.max_new_tokens, within which harm is counted; found "
            f"{caps[0]} and {caps[1]}"
        )


def _look_until_clear(
    configs: Mapping[Side, Config], gate: ReleaseConfig, sample: Sequence[WeightedPrompt], state: State
) -> Outcome:
    """Round after round until it is clear, or prompts or device time are spent."""
    names = [harm.name for harm in configs[Side.BASELINE].all_harms]
    gates = [HarmGate(name, gate, harms=len(names), planned=len(sample)) for name in names]
    models = Models(configs, keep_both=gate.keep_both)
    found: tuple[HarmDecision, ...] = ()
    ended = "there are no further prompts"
    looks = done = 0
    with state.extending(), progress("comparing", 2 * len(sample)) as report:
        for end in round_ends(len(sample), gate.looks):
            if state.seconds >= gate.device_budget.total_seconds() and not _holds(state, sample[:end]):
                ended = "release.device_budget is spent"
                break
            measure_round(models, [one.prompt for one in sample[done:end]], state, report)
            looks, done = looks + 1, end
            asked = [_asked(one, state) for one in sample[:done]]
            found = tuple(harm_gate.look(asked) for harm_gate in gates)
            log.info(
                "look %d: %s",
                looks,
                ", ".join(f"{one.harm} {one.decision} ({one.pairs} pairs)" for one in found),
            )
            if _is_clear([one.decision for one in found]):
                ended = "the answer is clear"
                break
    return Outcome(found, looks, done, len(sample), state.seconds, ended)


def round_ends(prompts: int, looks: int) -> list[int]:
    """Prompts up to and with each round: rounds as equal as can be, none of them empty."""
    rounds = min(prompts, looks)
    return [prompts * place // rounds for place in range(1, rounds + 1)]


def _is_clear(decisions: Sequence[Decision]) -> bool:
    return Decision.HOLD in decisions or set(decisions) == {Decision.SHIP}


def _holds(state: State, sample: Sequence[WeightedPrompt]) -> bool:
    """Whether these prompts are measured under both models already."""
    return all(one.prompt.id in measured for one in sample for measured in state.measured.values())


def _asked(one: WeightedPrompt, state: State) -> Asked:
    return Asked(one.weight, {side: state.measured[side][one.prompt.id] for side in Side})


def _write_json(path: Path, outcome: Outcome, gate: ReleaseConfig) -> None:
    try:
        path.write_text(
            json.dumps(as_json(outcome, gate), allow_nan=False, indent=2) + "\n", encoding="utf-8"
        )
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc
