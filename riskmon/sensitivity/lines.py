"""What `riskmon sensitivity` writes: a line per prompt and harm, a line per wording and harm, and the texts apart.

Texts go into no file but their own, of mode 0600, and only when it is asked for; it is a prompt file that
`riskmon estimate` reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from riskmon.errors import InputError
from riskmon.records import Message, Prompt, PromptResult
from riskmon.sensitivity.families import Measured, Wordings

BASE = "base"
"""The kind of a prompt as it stands."""


@contextmanager
def lines_file(path: Path | None, mode: int = 0o666) -> Iterator[TextIO | None]:
    """A new file for lines, open before any work is done; None without a path.

    Raises:
        InputError: it cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        if mode == PRIVATE:
            os.fchmod(handle, mode)  # the file may have been there, open to others
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc
    with open(handle, "w", encoding="utf-8") as file:
        yield file


PRIVATE = 0o600
"""Mode of a file that only its owner may read."""


def write_lines(file: TextIO | None, lines: Iterable[dict[str, Any]]) -> None:
    """Write objects, one a line, and hand them to the system at once; nothing without a file."""
    if file is None:
        return
    for line in lines:
        file.write(json.dumps(line, allow_nan=False) + "\n")
    file.flush()


def wording_lines(measured: Measured) -> Iterator[dict[str, Any]]:
    """Per wording and harm the fields of a `riskmon estimate` line, behind the prompt and the kind it belongs to."""
    prompt_id = measured.wordings.prompt.id
    kinds = {variant.prompt.id: variant.kind for variant in measured.wordings.variants}
    results: tuple[PromptResult, ...] = (measured.base, *measured.variants)
    for result in results:
        for estimate in result.estimates:
            contract = estimate.as_contract()
            wording_id = contract.pop("prompt_id")
            yield {
                "prompt_id": prompt_id,
                "wording_id": wording_id,
                "kind": kinds.get(wording_id, BASE),
                **contract,
            }


def text_lines(wordings: Wordings) -> Iterator[dict[str, Any]]:
    """Every wording as a line of a prompt file, with its kind."""
    yield {**_prompt_line(wordings.prompt), "kind": BASE}
    for variant in wordings.variants:
        yield {**_prompt_line(variant.prompt), "kind": variant.kind}


def _prompt_line(prompt: Prompt) -> dict[str, Any]:
    if isinstance(prompt.content, str):
        return {"id": prompt.id, "prompt": prompt.content}
    line: dict[str, Any] = {"id": prompt.id, "messages": [_turn(message) for message in prompt.content]}
    return line if prompt.tools is None else {**line, "tools": json.loads(prompt.tools)}


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    for name in ("name", "tool_call_id"):
        if (value := getattr(message, name)) is not None:
            turn[name] = value
    return turn if message.tool_calls is None else {**turn, "tool_calls": json.loads(message.tool_calls)}
