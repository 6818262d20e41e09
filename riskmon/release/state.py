"""What a comparison has drawn, kept in a file so that it can go on after an interruption.

The file has mode 0600 and holds JSON lines without any text of prompts or answers. Its first line tells by a digest
which comparison it belongs to; every further one is a prompt under one model. A line that was cut off is passed over;
one that is whole but makes no sense is refused, for then somebody else has written into the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import orjson

from riskmon.config import Config
from riskmon.config.release import ReleaseConfig
from riskmon.errors import InputError
from riskmon.release.measured import Measured, Side
from riskmon.release.prompts import WeightedPrompt

_KIND = "riskmon compare"


class State:
    """What is measured so far, in memory and, with a path, in a file.

    Attributes:
        measured: per model, id of a prompt -> what it gave.
    """

    def __init__(self, path: Path | None, digest: str) -> None:
        """Take up what the file holds.

        Raises:
            InputError: the file cannot be read, is no such file, is damaged, or belongs to another comparison.
        """
        self.measured: dict[Side, dict[str, Measured]] = {side: {} for side in Side}
        self._path = path
        self._digest = digest
        self._file: TextIO | None = None
        if path is None:
            return
        head, *lines = _lines(path) or [{"kind": _KIND, "digest": digest}]
        if head.get("kind") != _KIND:
            raise InputError(f"{path} is no state of 'riskmon compare'; name another file for --state")
        if head.get("digest") != digest:
            raise InputError(
                f"the state {path} belongs to other configurations, prompts or release settings; "
                "name another file for --state, or remove it to begin anew"
            )
        for number, line in enumerate(lines, 1):
            try:
                self.measured[Side(line["model"])][str(line["prompt"])] = Measured.from_json(line)
            except (KeyError, ValueError):
                raise InputError(
                    f"entry {number} of the state {path} is damaged; remove the file to begin anew, or name another "
                    "for --state"
                ) from None

    @property
    def seconds(self) -> float:
        """Device time of both models so far."""
        return sum(one.seconds for side in self.measured.values() for one in side.values())

    @contextmanager
    def extending(self) -> Iterator[None]:
        """The file open for what is added in this block.

        Raises:
            InputError: it cannot be written.
        """
        if self._path is None:
            yield
            return
        with _reachable(self._path):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(handle, "a", encoding="ascii") as self._file:
            size = os.fstat(handle).st_size
            if size == 0:
                self._write({"kind": _KIND, "digest": self._digest})
            elif os.pread(handle, 1, size - 1) != b"\n":
                self._file.write("\n")  # the last line was cut off
            yield
        self._file = None

    def add(self, side: Side, prompt_id: str, measured: Measured) -> None:
        """Keep what a prompt gave under a model.

        Raises:
            InputError: the file cannot be written.
        """
        self.measured[side][prompt_id] = measured
        self._write({"model": side, "prompt": prompt_id, **measured.as_json()})

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._file is not None and self._path is not None:
            with _reachable(self._path):
                self._file.write(json.dumps(line, allow_nan=False) + "\n")
                self._file.flush()


def digest_of(
    configs: Mapping[Side, Config],
    voices: Mapping[Side, str],
    gate: ReleaseConfig,
    prompts: Sequence[WeightedPrompt],
) -> str:
    """A hash of all that decides what is drawn and how it is read; no text can be told from it.

    Args:
        voices: fingerprint of each model with its experts.
    """
    parts = [gate.model_dump_json(exclude={"device_budget", "keep_both"})]
    for side in Side:
        config = configs[side]
        parts.append(voices[side])
        parts.append(config.estimate.of_draws())
        parts += [harm.model_dump_json(exclude={"budget_daily"}) for harm in config.all_harms]
    digest = hashlib.sha256(json.dumps(parts).encode())
    for prompt in prompts:
        digest.update(prompt.key())
    return digest.hexdigest()


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that are JSON objects; none where there is no file, or an empty one."""
    with _reachable(path):
        content = path.read_bytes() if path.exists() else b""
    found = []
    for number, text in enumerate(content.splitlines()):
        try:
            line = orjson.loads(text)
        except orjson.JSONDecodeError:
            line = None
        if isinstance(line, dict):
            found.append(line)
        elif number == 0:
            found.append({})  # whatever it is, it is no state
    return found


@contextmanager
def _reachable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise InputError(f"cannot use the state {path}: {exc.strerror}") from exc
