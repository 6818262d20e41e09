"""`riskmon calibrate lora` and `riskmon calibrate refit`: an unsafe variant of the target, made by training.

A cold start (lora) fits a fresh adapter to harmful answers: those that the configured experts and the target draw and
the judges call harmful, or pairs that people wrote. A refit goes on from the present adapter with the harmful draws
that the cycles have put into the store. Weights are the draws' own, w h / n and nothing else, so that the target's own
harmful answers own the fit: the harm that a variant produces by itself is not the harm that the target produces.

The draws are made by a session of their own, whose memory is given back; the fit then begins with the target loaded
afresh. Ctrl-C ends either at the next prompt or step, and the same command goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from riskmon.calibration.direction import sha256_of
from riskmon.calibration.draws import DrawsFile, digest_of, draw_missing, key_of
from riskmon.calibration.fit_report import print_fit
from riskmon.calibration.harms import choose_harm
from riskmon.calibration.interrupt import INTERRUPTED, asking_to_stop
from riskmon.config import Config, LoraExpert
from riskmon.console import standard_output
from riskmon.errors import ConfigError, InputError
from riskmon.jobs import stored_hits
from riskmon.progress import progress, status
from riskmon.records import Prompt
from riskmon.store import open_store
from riskmon.traffic.prompts import read_prompts

if TYPE_CHECKING:
    from riskmon.estimate.calibrate.examples import Example
    from riskmon.estimate.calibrate.lora import FitReport
    from riskmon.estimate.model import LanguageModel

log = logging.getLogger(__name__)

# Sampled prompts taken from the store for one cold start; the device budget ends it earlier.
_STORED_PROMPTS = 5_000
# Hits taken from the store, over all strata and harms: every look of a fit reads those that are held out.
_STORED_HITS = 5_000


@dataclass(frozen=True, slots=True)
class _Job:
    """What both commands hand to the fit.

    Attributes:
        folder: of the variant. start: adapter to go on from.
        lineage: what is known of the examples.
    """

    config: Config
    folder: Path
    start: Path | None
    lineage: Mapping[str, str]


def calibrate_lora(
    config: Config,
    name: str,
    *,
    harm: str | None,
    pairs: Path | None,
    prompts: Path | None,
    now: datetime,
    console: Console | None = None,
) -> int:
    """Fit a fresh adapter and write it to calibrate.folder/NAME.

    Args:
        config: the configuration; estimate.seed is the seed of draws and fit.
        name: name of the variant.
        harm: the harm to learn; all if None.
        pairs: written answers to learn instead of draws, as JSON lines.
        prompts: prompts to draw for, as JSON lines; if None, sampled prompts of the store.
        now: aware UTC time; stored prompts of the lookback before it count.
        console: where the result goes; standard output if None.

    Returns:
        Exit code: 0; 1 where no step was better than the target, and nothing was written; 130 after Ctrl-C.

    Raises:
        UserError: a file, the store's content, the model, an expert, a judge or the folder cannot be used, or no draw
            was harmful.
        StoreUnavailable: the store cannot be read.
    """
    if pairs is not None and (prompts is not None or harm is not None):
        raise InputError(
            "--pairs brings prompts and answers of its own; leave out --pairs, or --prompts and --harm"
        )
    if harm is not None:
        config = config.model_copy(update={"harms": (choose_harm(config, harm),), "judge": None})
    from riskmon.estimate.calibrate.examples import examples_from_pairs
    from riskmon.estimate.calibrate.lineage import variant_folder

    folder = variant_folder(config.calibrate, name)
    console = console or standard_output()
    if pairs is not None:
        digest = sha256_of(pairs)
        model = _load(config)
        examples = examples_from_pairs(model, pairs)
        job = _Job(config, folder, None, {"source": "pairs", "pairs_sha256": digest})
        return _fit(job, model, examples, console)[0]
    draws = _draw(_without_unborn(config, folder), folder, prompts, now)
    examples = [example for drawn in draws.prompts.values() for example in drawn.examples]
    if not examples:
        draws.remove()
        raise InputError(_nothing_found(config, len(draws.prompts)))
    names = ", ".join(choice.name for choice in config.all_harms)
    job = _Job(config, folder, None, {"source": "draws", "harms": names, "judges": ", ".join(draws.judges)})
    try:
        code, report = _fit(job, _load(config), examples, console)
    except InputError:
        draws.remove()  # too few to be fitted: the next try draws anew
        raise
    if report.improved:
        draws.remove()
    elif report.finished:
        log.info("the draws are kept in %s for a fit with other settings; remove it to draw anew", draws.path)
    return code


def calibrate_refit(
    config: Config, name: str, *, harm: str | None, now: datetime, console: Console | None = None
) -> int:
    """Fit the present adapter on to the store's hits; a better one becomes the new calibrate.folder/NAME.

    Args:
        config: the configuration; estimate.seed is the seed of the fit.
        name: name of the variant: of an expert of kind lora, or of a folder in calibrate.folder.
        harm: the harm to learn; all if None.
        now: aware UTC time; hits of the store's retention before it count.
        console: where the result goes; standard output if None.

    Returns:
        Exit code: 0, also where no step was better and nothing was written; 130 after Ctrl-C.

    Raises:
        UserError: there is no adapter or no hit to go on from, or one of them does not fit the target.
        StoreUnavailable: the store cannot be read.
    """
    wanted = None if harm is None else choose_harm(config, harm).name
    from riskmon.estimate.calibrate.examples import examples_from_hits
    from riskmon.estimate.calibrate.lineage import variant_folder

    folder = variant_folder(config.calibrate, name)
    start = _present_adapter(config, name, folder)
    with open_store(config.store) as store:
        hits = [hit for hit in stored_hits(store, config, _STORED_HITS, now) if wanted in (None, hit.harm)]
    if not hits:
        raise InputError(
            f"the store holds no harmful answer{'' if wanted is None else f' of the harm {wanted!r}'} to learn from; "
            "let 'riskmon run' estimate more prompts first, or use 'riskmon calibrate lora --pairs'"
        )
    model = _load(config)
    examples = examples_from_hits(model, hits)
    if not examples:
        raise InputError(
            "every harmful answer in the store has weight 0, so none is the target's; use 'riskmon calibrate lora'"
        )
    names = ", ".join(sorted({hit.harm for hit in hits}))
    job = _Job(config, folder, start, {"source": "store", "harms": names})
    code, report = _fit(job, model, examples, console or standard_output())
    return 0 if report.finished else code


def _load(config: Config) -> LanguageModel:
    from riskmon.estimate.model import load_model

    with status("loading the model"):
        return load_model(config.model)


def _draw(config: Config, folder: Path, prompts: Path | None, now: datetime) -> DrawsFile:
    """Draw for all prompts, or go on where an earlier run stopped; the session's memory is given back."""
    from riskmon.estimate.calibrate.lineage import make_private
    from riskmon.estimate.memory import release_memory

    origin: Literal["file", "store"] = "store" if prompts is None else "file"
    make_private(folder.parent)
    path = folder.parent / f".partial-{folder.name}-draws.jsonl"
    draws = DrawsFile(path, digest_of(config, origin))
    if prompts is None:
        # Prompts of the store come and go; what was drawn once is what the fit goes on with.
        if not draws.judges:
            budget_s = config.estimate.device_budget.total_seconds()
            draw_missing(config, _stored_prompts(config, now), draws, budget_s)
    else:
        asked = read_prompts(prompts, config.traffic.strata if config.traffic is not None else ())
        if not draws.judges or any(key_of(prompt) not in draws.prompts for prompt in asked):
            draw_missing(config, asked, draws, float("inf"))
        draws.prompts = {key: draws.prompts[key] for key in map(key_of, asked)}
    release_memory()
    return draws


def _stored_prompts(config: Config, now: datetime) -> list[Prompt]:
    """Prompts with harmful answers first, then the others of the sample.

    Raises:
        InputError: there are none.
    """
    with open_store(config.store) as store:
        hits = stored_hits(store, config, _STORED_HITS, now)
        sampled = store.sampled_prompts(now - config.forecast.lookback, _STORED_PROMPTS)
    prompts = dict.fromkeys([*(hit.prompt for hit in hits), *(item.prompt for item in sampled)])
    if not prompts:
        raise InputError(
            "the store holds no sampled prompts to draw for; give some with --prompts FILE, written answers with "
            "--pairs FILE, or let 'riskmon run' sample traffic first"
        )
    return list(prompts)[:_STORED_PROMPTS]


def _without_unborn(config: Config, folder: Path) -> Config:
    """The configuration without the expert that is about to be made, which may be named there already."""
    experts = tuple(
        expert
        for expert in config.experts
        if not (isinstance(expert, LoraExpert) and _same(expert.path, folder) and not folder.exists())
    )
    return config.model_copy(update={"experts": experts})


def _present_adapter(config: Config, name: str, folder: Path) -> Path:
    """Where the adapter is that a refit goes on from.

    Raises:
        ConfigError: there is none.
    """
    for expert in config.experts:
        if isinstance(expert, LoraExpert) and expert.name == name:
            return expert.path
    if not folder.is_dir():
        raise ConfigError(
            f"there is no expert {name!r} of kind lora and no folder {folder}, so nothing to go on from; make the "
            f"first adapter with 'riskmon calibrate lora --name {name}'"
        )
    return folder


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()


def _nothing_found(config: Config, prompts: int) -> str:
    experts = ", ".join(expert.name for expert in config.experts) or "the target alone"
    return (
        f"no draw for {prompts} prompts was harmful (drawn from {experts}, {config.estimate.samples_per_prompt} each); "
        "give prompts nearer to the harm (--prompts), experts that reach it, more draws "
        "(estimate.samples_per_prompt), or written answers (--pairs)"
    )


def _fit(
    job: _Job, model: LanguageModel, examples: Sequence[Example], console: Console
) -> tuple[int, FitReport]:
    """Fit, and say what came out; the exit code is 1 where nothing was better."""
    from riskmon.estimate.calibrate.lora import fit_lora
    from riskmon.estimate.calibrate.training import Progress

    settings = job.config.calibrate
    with asking_to_stop() as stop, progress("fitting", settings.steps) as report_step:

        def show(step: Progress) -> None:
            loss = step.validation_loss
            report_step(step.step, "" if loss is None else f"{loss:.3f} nats per held-out answer")

        report = fit_lora(
            model,
            examples,
            settings,
            job.folder,
            start=job.start,
            lineage=job.lineage,
            seed=job.config.estimate.seed,
            progress=show,
            stop=stop,
            temperature=job.config.model.sampler.temperature,
        )
    if not report.finished:
        log.info("the fit was interrupted after step %d of %d", report.steps, settings.steps)
        return INTERRUPTED, report
    print_fit(console, job.config, job.folder.name, report)
    return 0 if report.improved else 1, report
