"""The prompt file of `riskmon estimate`, and the sentences about its faults."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from riskmon.errors import InputError
from riskmon.records import Message, Prompt, Stratum
from riskmon.traffic.prompts import read_prompts


@pytest.fixture
def prompt_file(tmp_path: Path) -> Path:
    return tmp_path / "PROMPTS.jsonl"


def test_both_shapes_in_file_order(prompt_file: Path) -> None:
    prompt_file.write_bytes(
        b'\xef\xbb\xbf{"id": "b", "prompt": "one", "attributes": {"route": "chat"}}\n'
        b"\n"
        b'{"id": 7, "messages": [{"role": "user", "content": "two"}]}'
    )
    assert read_prompts(prompt_file, strata_paths=["attributes.route"]) == [
        Prompt("b", "one", Stratum((("route", "chat"),))),
        Prompt("7", (Message("user", "two"),), Stratum((("route", "unknown"),))),
    ]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"id": "a", "prompt": "x"}\n')))
    assert read_prompts(Path("-")) == [Prompt("a", "x")]


GOOD = b'{"id": "good", "prompt": "SECRET"}\n'


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"id": "a", "prompt": "SECRET', "not JSON (column 30)"),
        (b'{"id": "a", "prompt": "SECRET\xff"}', "not UTF-8 text"),
        (b'["SECRET"]', "not a JSON object"),
        (b'{"prompt": "SECRET"}', "the id is missing"),
        (b'{"id": "", "prompt": "SECRET"}', "the id is missing"),
        (b'{"id": ["SECRET"], "prompt": "x"}', "the id must be a string of at most 256 characters"),
        (b'{"id": "a", "text": "SECRET"}', "neither 'prompt' (text that is not empty) nor 'messages'"),
        (b'{"id": "a", "messages": ["SECRET"]}', "messages must be a list of objects with a role"),
        (b'{"id": "good", "prompt": "SECRET"}', "the id 'good' was given before, on line 1;"),
    ],
)
def test_faults_name_the_line_and_hide_the_text(prompt_file: Path, line: bytes, fault: str) -> None:
    prompt_file.write_bytes(GOOD + b"\n" + line + b"\n")
    with pytest.raises(InputError) as caught:
        read_prompts(prompt_file)
    assert str(caught.value).startswith(f"{prompt_file}, line 3: {fault}")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_empty_file_says_what_to_write(prompt_file: Path) -> None:
    prompt_file.write_bytes(b"\n\n")
    with pytest.raises(InputError, match="holds no prompts; write lines such as"):
        read_prompts(prompt_file)


def test_a_missing_file(prompt_file: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the prompt file .*PROMPTS\.jsonl: No such file"):
        read_prompts(prompt_file)
