"""The command line. Exit codes: 0 done; 1 failed while running; 2 the user can fix it; 130 on Ctrl-C.

`compare` answers a question, and has two codes more: 3 hold, 4 undecided.

Everything heavy is imported by the command that needs it, so that `riskmon --help` answers at once.
"""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from riskmon.errors import RiskmonError, UserError

if TYPE_CHECKING:
    from riskmon.config import Config

app = typer.Typer(
    name="riskmon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigOption = Annotated[Path, typer.Option("-c", "--config", help="Configuration file.")]
DEFAULT_CONFIG = Path("riskmon.yaml")
_INTERRUPTED = 130


def _show_version(wanted: bool) -> None:
    if wanted:
        from riskmon import __version__

        typer.echo(f"riskmon {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Forecast how many harmful outputs a deployed language model will produce tomorrow."""


@app.command()
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    once: Annotated[
        bool, typer.Option("--once", help="Read what is in the topic, estimate, forecast, and exit.")
    ] = False,
) -> None:
    """Run the daemon: sample traffic, estimate on a schedule, forecast, serve metrics."""
    settings = _load(config)
    settings.require_traffic("run")
    from riskmon.console import print_forecast
    from riskmon.daemon import Daemon

    daemon = Daemon(settings)
    if not once:
        raise typer.Exit(daemon.run())
    made, code = daemon.run_once()
    print_forecast(made)
    raise typer.Exit(code)


@app.command()
def estimate(
    prompts: Annotated[Path, typer.Argument(help="Prompts, one JSON object a line; '-' is standard input.")],
    config: ConfigOption = DEFAULT_CONFIG,
    out: Annotated[
        Path | None, typer.Option(help="Where the estimates go; standard output when not given.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=4, help="Draws per prompt, instead of the configured number.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the configured one.")] = None,
) -> None:
    """Estimate each prompt's probability of harm: one JSON line per prompt and harm."""
    settings = _with_estimate(_load(config), samples_per_prompt=samples, seed=seed)
    from riskmon.batch import estimate_file

    raise typer.Exit(estimate_file(settings, prompts, out))


@app.command()
def forecast(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
) -> None:
    """Forecast the next 24 hours from what the store holds; the store is left as it is."""
    settings = _load(config)
    settings.require_traffic("forecast")
    from riskmon.console import print_forecast
    from riskmon.jobs import preview_forecast
    from riskmon.store import open_store

    with open_store(settings.store.url) as store:
        made = preview_forecast(store, settings, "forecast", datetime.now(UTC))
    print_forecast(made, as_json=as_json)


@app.command()
def sensitivity(
    prompts: Annotated[Path, typer.Argument(help="Prompts, one JSON object a line; '-' is standard input.")],
    config: ConfigOption = DEFAULT_CONFIG,
    variants: Annotated[
        int | None,
        typer.Option(min=2, max=1000, help="Rewordings per prompt, instead of the configured number."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=4, help="Draws per wording, instead of the configured number.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for a JSON line per prompt and harm.")] = None,
    wordings: Annotated[Path | None, typer.Option(help="File for a JSON line per wording and harm.")] = None,
    texts: Annotated[
        Path | None, typer.Option(help="File for the wordings themselves, readable by you only.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
) -> None:
    """Show how far each prompt's probability of harm moves under rewordings that keep its meaning."""
    settings = _load(config)
    given = {"variants": variants, "samples": samples}
    changed = {key: value for key, value in given.items() if value is not None}
    from riskmon.sensitivity.run import Outputs, sensitivity_file

    raise typer.Exit(
        sensitivity_file(
            settings,
            settings.sensitivity.model_copy(update=changed),
            prompts,
            Outputs(out, wordings, texts),
            as_json=as_json,
        )
    )


@app.command()
def report(
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[
        str | None, typer.Option(help="How far to look back, such as 7d; report.period when not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to, instead of the configured one.")
    ] = None,
    formats: Annotated[
        str | None, typer.Option("--format", help="Of html, md and json, with commas between them.")
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Also post and mail it, as configured.")] = False,
) -> None:
    """Write a deployment report: forecast against budget, why it changed, and whether it can be trusted."""
    settings = _load(config)
    settings.require_traffic("report")
    from riskmon.reporting.command import parse_formats, parse_period, write_report

    code = write_report(
        settings,
        period=None if since is None else parse_period(since),
        out=out,
        formats=None if formats is None else parse_formats(formats),
        send=send,
        now=datetime.now(UTC),
        say=typer.echo,
        warn=lambda fault: typer.echo(f"riskmon: {fault}", err=True),
    )
    raise typer.Exit(code)


calibrate = typer.Typer(
    name="calibrate",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Build unsafe variants; measure the judge.",
)
app.add_typer(calibrate)


HarmOption = Annotated[str | None, typer.Option("--harm", help="Learn this harm only; all when not given.")]


@calibrate.command("direction")
def calibrate_direction_command(
    unsafe: Annotated[Path, typer.Argument(help="Unsafe prompts, one JSON object a line.")],
    safe: Annotated[Path, typer.Argument(help="Harmless prompts of the same form.")],
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option(help="Name of the file in calibrate.folder.")] = "direction",
) -> None:
    """Find the direction that tells unsafe from safe prompts, for experts of kind steering."""
    settings = _load(config)
    from riskmon.calibration.direction import calibrate_direction

    raise typer.Exit(calibrate_direction(settings, unsafe, safe, name))


@calibrate.command("lora")
def calibrate_lora_command(
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option(help="Name of the variant in calibrate.folder.")] = "unsafe",
    pairs: Annotated[
        Path | None, typer.Option(help="Learn these prompts with responses, one JSON object a line.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Draw for these prompts; sampled prompts of the store when not given."),
    ] = None,
    harm: HarmOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the configured one.")] = None,
) -> None:
    """Train a first unsafe variant on harmful answers that the configured experts draw, or on written ones."""
    settings = _with_estimate(_load(config), seed=seed)
    from riskmon.calibration.variant import calibrate_lora

    _resumable(
        lambda: calibrate_lora(settings, name, harm=harm, pairs=pairs, prompts=prompts, now=datetime.now(UTC))
    )


@calibrate.command("refit")
def calibrate_refit_command(
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option(help="Name of the expert, or of the variant.")] = "unsafe",
    harm: HarmOption = None,
) -> None:
    """Train an unsafe variant further, on the harmful answers in the store."""
    settings = _load(config)
    from riskmon.calibration.variant import calibrate_refit

    _resumable(lambda: calibrate_refit(settings, name, harm=harm, now=datetime.now(UTC)))


@calibrate.command("judge")
def calibrate_judge_command(
    labels: Annotated[Path, typer.Argument(help="Labelled answers, one JSON object a line.")],
    config: ConfigOption = DEFAULT_CONFIG,
    harm: Annotated[
        str | None, typer.Option(help="Which harm; not needed where the configuration has one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; judge-error-HARM.json when not given.")
    ] = None,
) -> None:
    """Measure how often a judge is wrong, on answers that people have labelled."""
    settings = _load(config)
    from riskmon.calibration.judge import calibrate_judge

    raise typer.Exit(calibrate_judge(settings, labels, harm, out, now=datetime.now(UTC)))


@app.command()
def doctor(
    config: ConfigOption = DEFAULT_CONFIG,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Leave out what loads a model or asks a judge.")
    ] = False,
) -> None:
    """Check everything that `riskmon run` needs, and say what a cycle will cost; exits with 1 if a check failed."""
    settings = _load(config)
    from riskmon.doctor import run_doctor

    raise typer.Exit(run_doctor(settings, config, with_model=not no_model, now=datetime.now(UTC)))


@app.command()
def compare(
    prompts: Annotated[
        Path,
        typer.Argument(help="Prompts, one JSON object a line; attributes.weight is what one stands for."),
    ],
    baseline: Annotated[
        Path, typer.Option(help="Configuration of the version that serves; its release section asks.")
    ],
    candidate: Annotated[Path, typer.Option(help="Configuration of the version to be released.")],
    state: Annotated[
        Path | None, typer.Option(help="File that keeps what was drawn, so that an interrupted run goes on.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="File for the answer as JSON.")] = None,
) -> None:
    """Say whether a version of the model may ship: is it more harmful than the one that serves?

    Exit codes: 0 ship; 3 hold; 4 undecided; 1 failed while running; 2 you can fix it; 130 on Ctrl-C.
    """
    before = _load(baseline)
    from riskmon.config_file import load_config
    from riskmon.release.gate import compare_release

    after = load_config(candidate)

    def work() -> int:
        return compare_release(before, after, prompts, before.release, state=state, json_out=json_out)

    if state is None:
        raise typer.Exit(work())
    _resumable(work)


bench = typer.Typer(
    name="bench",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure riskmon where the truth is known.",
)
app.add_typer(bench)


@bench.command("estimator")
def bench_estimator_command(
    runs: Annotated[int | None, typer.Option(min=2, help="Repeats per method and world.")] = None,
    samples: Annotated[int | None, typer.Option(min=4, help="Draws per estimate.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Root of all random streams.")] = 0,
    worlds: Annotated[str | None, typer.Option(help="Names of worlds, with commas between them.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for table and picture.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Half a minute; rough figures.")] = False,
) -> None:
    """Compare riskmon with brute force and the published method on worlds of known truth."""
    from riskmon.bench.estimator import QUICK, EstimatorBench, parse_worlds, run_bench
    from riskmon.progress import progress

    whole = QUICK if quick else EstimatorBench()
    chosen = EstimatorBench(
        runs=runs or whole.runs,
        samples=samples or whole.samples,
        seed=seed,
        worlds=whole.worlds if worlds is None else tuple(parse_worlds(worlds)),
    )
    done = itertools.count(1)
    with progress("repeating", 2 * chosen.runs * len(chosen.worlds)) as report:
        run_bench(chosen, out, typer.echo, lambda: report(next(done), ""))


@bench.command("compare")
def bench_compare_command(
    plain: Annotated[Path, typer.Argument(help="Estimates by plain sampling: no experts, many draws.")],
    estimates: Annotated[Path, typer.Argument(help="Estimates of the same prompts, to be judged.")],
) -> None:
    """Compare two outputs of `riskmon estimate`, the first of them by plain sampling."""
    from riskmon.bench.compare import compare_files, render_comparison

    typer.echo(render_comparison(compare_files(plain, estimates)))


@app.command()
def rules(
    config: ConfigOption = DEFAULT_CONFIG,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output when not given.")] = None,
) -> None:
    """Write Prometheus recording and alerting rules, from the section `rules` and the schedules."""
    settings = _load(config)
    from riskmon.publish.rules import write_rules

    write_rules(settings, out, typer.echo)


@app.command("check-config")
def check_config(
    file: Annotated[Path, typer.Argument(help="Configuration file.")] = DEFAULT_CONFIG,
) -> None:
    """Check a configuration file without loading anything."""
    settings = _load(file)
    from riskmon.doctor.settings import describe, missing_calibrations

    typer.echo(f"{file} is valid: {describe(settings)}")
    for sentence in missing_calibrations(settings):
        typer.echo(f"warning: {sentence}", err=True)


@app.command()
def demo(
    tiny: Annotated[
        bool, typer.Option("--tiny", help="A toy model made on the spot; under a minute.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option("--for", min=1, help="End by itself after so many seconds.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 9108,
) -> None:
    """Show the whole loop on an embedded broker and a small real model."""
    from riskmon.demo.tour import run_demo

    raise typer.Exit(run_demo(tiny=tiny, seconds=seconds, port=port))


def _load(path: Path) -> Config:
    from riskmon import logs
    from riskmon.config_file import load_config

    config = load_config(path)
    logs.configure(config.logging)
    return config


def _with_estimate(settings: Config, **given: int | None) -> Config:
    """The configuration with values of `estimate` from the command line, where they are given."""
    changed = {key: value for key, value in given.items() if value is not None}
    return settings.model_copy(update={"estimate": settings.estimate.model_copy(update=changed)})


def _resumable(work: Callable[[], int]) -> NoReturn:
    """Do work that goes on where it stopped when it is asked for again, and say so if it is interrupted."""
    try:
        code = work()
    except _Interrupted:
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        typer.echo("riskmon: interrupted; the same command goes on from here", err=True)
    raise typer.Exit(code)


class _Interrupted(BaseException):
    """Ctrl-C, under a name that the command-line library does not take for its own."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


def main() -> None:
    """Entry point: runs a command and turns errors into exit codes and one sentence."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except _Interrupted:
        typer.echo("riskmon: interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except RiskmonError as exc:
        typer.echo(f"riskmon: {exc}", err=True)
        sys.exit(2 if isinstance(exc, UserError) else 1)
