"""The draws of a cold start: harmful answers to many prompts, kept on disk until an unsafe variant is fitted to them.

Drawing takes long and may be interrupted, so every finished prompt adds a line to a file of mode 0600 beside the
variant: `{"digest", "prompt", "seconds", "examples": [{"prompt_id", "context", "answer", "weight"}, ...]}`. Context
and answer are token ids, which are as sensitive as text; a prompt without a harmful answer leaves none. When all
prompts are done a line `{"digest", "judges"}` says so. Lines with the digest of other settings are passed over, and so
is a line that was cut off.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from riskmon.config import Config
from riskmon.errors import ConfigError
from riskmon.progress import progress, status
from riskmon.records import Prompt

if TYPE_CHECKING:
    from riskmon.estimate.calibrate.examples import Example

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn for one prompt."""

    seconds: float
    examples: tuple[Example, ...]


class DrawsFile:
    """The file of one cold start.

    Attributes:
        path: where it lies.
        prompts: key of each prompt that is done -> what was drawn, in the order in which it was.
        judges: ids of the judges; empty until all prompts are done.
    """

    def __init__(self, path: Path, digest: str) -> None:
        """Take up what is there under this digest of the settings.

        Raises:
            ConfigError: the file is there and cannot be read.
        """
        self.path = path
        self.prompts: dict[str, Drawn] = {}
        self.judges: tuple[str, ...] = ()
        self._digest = digest
        for line in self._lines():
            if "judges" in line:
                self.judges = tuple(line["judges"])
            else:
                self.prompts[line["prompt"]] = _drawn(line)

    @property
    def seconds(self) -> float:
        """Device time spent so far."""
        return sum(drawn.seconds for drawn in self.prompts.values())

    @contextmanager
    def extending(self) -> Iterator[TextIO]:
        """The file open for further lines; it is made with mode 0600.

        Raises:
            ConfigError: it cannot be written.
        """
        with _reachable(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(handle, "a", encoding="ascii") as file:
            if (size := os.fstat(handle).st_size) and os.pread(handle, 1, size - 1) != b"\n":
                file.write("\n")  # the last line was cut off
            yield file

    def add(self, file: TextIO, key: str, drawn: Drawn) -> None:
        """Write what was drawn for a prompt.

        Raises:
            ConfigError: it cannot be written.
        """
        self.prompts[key] = drawn
        self._write(file, prompt=key, **asdict(drawn))

    def finish(self, file: TextIO, judges: Iterable[str]) -> None:
        """Write that all prompts are done.

        Raises:
            ConfigError: it cannot be written.
        """
        self.judges = tuple(judges)
        self._write(file, judges=self.judges)

    def remove(self) -> None:
        """Remove the file, if it is there.

        Raises:
            ConfigError: it cannot be removed.
        """
        with _reachable(self.path):
            self.path.unlink(missing_ok=True)

    def _write(self, file: TextIO, **fields: Any) -> None:
        with _reachable(self.path):
            file.write(json.dumps({"digest": self._digest, **fields}) + "\n")
            file.flush()

    def _lines(self) -> Iterator[dict[str, Any]]:
        with _reachable(self.path):
            content = self.path.read_bytes() if self.path.exists() else b""
        for text in content.split(b"\n"):
            try:
                line = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
            if line.get("digest") == self._digest:
                yield line


def draw_missing(config: Config, prompts: Sequence[Prompt], draws: DrawsFile, budget_s: float) -> None:
    """Draw for the prompts that are not done, and add every one to the file at once.

    Args:
        config: experts, judges, and the draws of each prompt.
        prompts: all prompts of the cold start.
        draws: the file.
        budget_s: device time, earlier draws included, beyond which no further prompt is begun.

    Raises:
        UserError: the model, an expert or a judge cannot be used, or the file cannot be written.
    """
    todo = [(prompt, key) for prompt in prompts if (key := key_of(prompt)) not in draws.prompts]
    if len(todo) < len(prompts):
        log.info("%d of %d prompts were drawn for before", len(prompts) - len(todo), len(prompts))
    from riskmon.estimate.calibrate.examples import examples_from_hits
    from riskmon.estimate.opening import open_session
    from riskmon.estimate.together import estimate_each

    with status("loading the model"):
        session = open_session(config)
    with draws.extending() as file, progress("drawing", len(todo)) as report:
        done = 0
        while done < len(todo) and draws.seconds < budget_s:
            for result in estimate_each(session, _affordable(todo[done:], draws, budget_s), keep=True):
                seconds = result.estimates[0].device_seconds if result.estimates else 0.0
                examples = tuple(examples_from_hits(session.model, result.hits))
                draws.add(file, todo[done][1], Drawn(seconds, examples))
                done += 1
                report(done, f"{result.prompt.id!r}, {len(examples)} harmful answers kept")
        if done < len(todo):
            log.info("estimate.device_budget is spent: %d prompts are left out", len(todo) - done)
        draws.finish(file, dict.fromkeys(judge.id for judge in session.judges))


def _affordable(todo: Sequence[tuple[Prompt, str]], draws: DrawsFile, budget_s: float) -> Iterator[Prompt]:
    """Prompts while there is device time for one more, those under way reckoned at the mean so far."""
    before = len(draws.prompts)
    for taken, (prompt, _) in enumerate(todo):
        drawn = len(draws.prompts)
        mean = draws.seconds / drawn if drawn else 0.0
        if draws.seconds + mean * (taken - (drawn - before)) >= budget_s:
            return
        yield prompt


def key_of(prompt: Prompt) -> str:
    """Tells prompts apart by id, position and text, and shows none of them."""
    content: Any = prompt.content
    if not isinstance(content, str):
        content = [[message.role, message.content] for message in content]
    return hashlib.sha256(json.dumps([prompt.stream_key, content]).encode()).hexdigest()


def digest_of(config: Config, origin: str) -> str:
    """A hash of all that decides a prompt's draws and their verdicts, and of where the prompts come from."""
    from riskmon.estimate.fingerprint import voices_fingerprint

    harms = [harm.model_dump_json(exclude={"budget_daily", "calibration"}) for harm in config.all_harms]
    parts = [origin, voices_fingerprint(config), config.estimate.of_draws(), *harms]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _drawn(line: dict[str, Any]) -> Drawn:
    from riskmon.estimate.calibrate.examples import Example

    examples = (
        Example(tuple(entry["context"]), tuple(entry["answer"]), entry["weight"], entry["prompt_id"])
        for entry in line["examples"]
    )
    return Drawn(line["seconds"], tuple(examples))


@contextmanager
def _reachable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(f"cannot use {path}: {exc.strerror}; mend calibrate.folder") from exc
