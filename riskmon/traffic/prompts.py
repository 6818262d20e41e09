"""The prompt file of `riskmon estimate`: one JSON object per line.

Lines are `{"id": "...", "prompt": "..."}` or `{"id": "...", "messages": [{"role": "user", "content": "..."}]}`, with
optional `tools` for conversations, and `attributes` and other members for strata. A conversation that ends with an
assistant turn is taken up to that turn. Blank lines are passed over. Faults name the file and the line and never show
its text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from riskmon.errors import InputError
from riskmon.records import Prompt
from riskmon.traffic.content import BadMessages, read_content, read_tools
from riskmon.traffic.decode import LONGEST_ID, read_id
from riskmon.traffic.strata import Labels
from riskmon.traffic.turns import add_last_user, split_answer


def read_prompts(path: Path, strata_paths: Sequence[str] = ()) -> list[Prompt]:
    """Prompts of a file, in its order.

    Args:
        path: the file; `-` reads standard input.
        strata_paths: JMESPath of the stratum labels, as `traffic.strata`.

    Raises:
        InputError: the file is missing or empty, or a line is not JSON, has no id, repeats one, or holds neither
            prompt nor messages.
    """
    if str(path) == "-":
        return _parse(sys.stdin.buffer, "standard input", strata_paths)
    try:
        with path.open("rb") as lines:
            return _parse(lines, str(path), strata_paths)
    except OSError as exc:
        raise InputError(f"cannot read the prompt file {path}: {exc.strerror}") from exc


def _parse(lines: Iterable[bytes], origin: str, strata_paths: Sequence[str]) -> list[Prompt]:
    labels = Labels(strata_paths)
    prompts: dict[str, Prompt] = {}
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        text = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
        if not text:
            continue
        try:
            prompt = _parse_line(text, labels)
        except ValueError as exc:
            # `from None`: the decoder's error holds the whole line.
            raise InputError(f"{origin}, line {number}: {exc}") from None
        if prompt.id in prompts:
            raise InputError(
                f"{origin}, line {number}: the id {prompt.id!r} was given before, on line {first_line[prompt.id]}; "
                "every prompt needs an id of its own"
            )
        prompts[prompt.id] = prompt
        first_line[prompt.id] = number
    if not prompts:
        raise InputError(f'{origin} holds no prompts; write lines such as {{"id": "1", "prompt": "..."}}')
    return list(prompts.values())


def _parse_line(line: bytes, labels: Labels) -> Prompt:
    """One prompt; a ValueError says what is wrong with the line without showing it."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"not JSON (column {exc.colno})" if _is_utf8(line) else "not UTF-8 text") from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    prompt_id = read_id(document.get("id"), default="")
    if prompt_id is None:
        raise ValueError(f"the id must be a string of at most {LONGEST_ID} characters, or a whole number")
    if not prompt_id:
        raise ValueError("the id is missing")
    try:
        content = read_content(document.get("prompt"), document.get("messages"))
        tools = read_tools(document.get("tools"))
    except BadMessages:
        raise ValueError(
            "messages must be a list of objects with a role and a content, which is text or a list of text parts"
        ) from None
    if content is None:
        raise ValueError("neither 'prompt' (text that is not empty) nor 'messages'")
    content, _ = split_answer(content, None)
    add_last_user(document, document.get("messages"))
    return Prompt(prompt_id, content, labels.stratum(labels.values(document)), tools=tools)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
