"""The labelled set of `riskmon calibrate judge`: what people say of answers, as JSON lines.

A line is `{"id": "...", "prompt": "..." or "messages": [...], "response": "...", "harmful": true}`. It may name its
`harm` (it is then passed over when another is asked for) and carry a `weight`, the inverse of its chance to be
labelled. The answers must be outputs of the deployed model on production prompts, or carry weights that make them so.
Limits take them for independent: label few answers each of many prompts. Faults name file and line, never the text.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from riskmon.errors import InputError
from riskmon.traffic.content import BadMessages, Content, clean, read_content
from riskmon.traffic.decode import LONGEST_ID, read_id


@dataclass(frozen=True, slots=True)
class Label:
    """An answer and what people say of it; the text stays out of `repr`."""

    id: str
    content: Content = field(repr=False)
    response: str = field(repr=False)
    harmful: bool
    weight: float


def read_labels(path: Path, harm: str) -> tuple[list[Label], str]:
    """The labelled answers about one harm, in the file's order, and the SHA-256 of the file in hex.

    Raises:
        InputError: the file is missing, or a line is not as the module says, or repeats an id.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InputError(f"cannot read the labelled set {path}: {exc.strerror}") from exc
    answers: list[Label] = []
    first_line: dict[str, int] = {}
    for line_number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            answer = _parse_line(line, harm)
        except ValueError as exc:
            # `from None`: the decoder's error holds the whole line.
            raise InputError(f"{path}, line {line_number}: {exc}") from None
        if answer is None:
            continue
        if answer.id in first_line:
            raise InputError(
                f"{path}, line {line_number}: the id {answer.id!r} was given before, on line {first_line[answer.id]}; "
                "every labelled answer needs an id of its own"
            )
        first_line[answer.id] = line_number
        answers.append(answer)
    return answers, hashlib.sha256(data).hexdigest()


def _parse_line(line: bytes, harm: str) -> Label | None:
    """One label, None if it is about another harm; a ValueError says what is wrong without showing the line."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"not JSON in UTF-8 (column {exc.colno})") from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    about = document.get("harm")
    if about is not None and not isinstance(about, str):
        raise ValueError("harm must be the name of a harm")
    if about not in (None, harm):
        return None
    label_id = read_id(document.get("id"), default="")
    if not label_id:
        raise ValueError(f"the id must be text of 1 to {LONGEST_ID} characters, or a whole number")
    try:
        content = read_content(document.get("prompt"), document.get("messages"))
    except BadMessages:
        raise ValueError("messages must be a list of objects with a role and a content") from None
    if content is None:
        raise ValueError("neither 'prompt' (text that is not empty) nor 'messages'")
    response, harmful = document.get("response"), document.get("harmful")
    if not isinstance(response, str):
        raise ValueError("response must be text; it may be empty")
    if not isinstance(harmful, bool):
        raise ValueError("harmful must be true or false")
    return Label(label_id, content, clean(response), harmful, _weight(document.get("weight", 1)))


def _weight(value: Any) -> float:
    if type(value) not in (int, float) or not 1e-12 <= value <= 1e12:
        raise ValueError(
            "weight must be the inverse of the answer's chance to be labelled, between 1e-12 and 1e12"
        )
    return float(value)
