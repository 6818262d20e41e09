"""How prompts and answers are laid out for judges, and how judges and model folders are named."""

import pytest

from riskmon.estimate.judges.dialogue import Plain, clean, flatten, turns
from riskmon.estimate.judges.identity import folder_mark, judge_id
from riskmon.records import Message, Prompt


def chat(*pairs):
    return Prompt("c", tuple(Message(role, text) for role, text in pairs))


def test_a_single_question_stands_as_it_is():
    assert flatten(Prompt("p", "Hi.")) == flatten(chat(("user", "Hi."))) == "Hi."
    assert flatten(chat(("system", "Hi."))) == "system: Hi."
    assert flatten(chat(("system", "S"), ("user", "U"))) == "system: S\nuser: U"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([("user", "a")], [("user", "a"), ("assistant", "OUT")]),
        ([("system", "s"), ("user", "a")], [("user", "s\n\na"), ("assistant", "OUT")]),
        (
            [("user", "a"), ("assistant", "b"), ("tool", "t"), ("user", "c")],
            [("user", "a"), ("assistant", "b"), ("user", "t\n\nc"), ("assistant", "OUT")],
        ),
        ([("user", "a"), ("assistant", "begun")], [("user", "a"), ("assistant", "begun\n\nOUT")]),
        (
            [("assistant", "b"), ("user", "c")],
            [("user", ""), ("assistant", "b"), ("user", "c"), ("assistant", "OUT")],
        ),
        ([], [("user", ""), ("assistant", "OUT")]),
    ],
)
def test_turns_alternate_and_end_with_the_answer(content, expected):
    prompt = chat(*content)
    assert [(turn["role"], turn["content"]) for turn in turns(prompt, "OUT")] == expected
    assert [(message.role, message.content) for message in prompt.content] == content, (
        "the prompt stays as it was"
    )


def test_lone_surrogates_are_replaced():
    assert clean("a\ud800b é 😀") == "a?b é 😀"
    assert turns(Prompt("p", "\udfff"), "\ud800")[1]["content"] == "?"


def test_control_tokens_in_a_text_are_broken():
    plain = Plain(["<s>", "<end>", "<end>of", "|"])
    assert plain.text("a<s>b <end>of|\ud800") == "a< s>b < end>of|?"
    prompt = chat(("user", "x<s>"), ("assistant", "y"))
    assert [message.content for message in plain.prompt(prompt).content] == ["x< s>", "y"]
    assert plain.prompt(Prompt("p", "<end>")).content == "< end>"
    assert Plain([]).text("<s>") == "<s>"


def test_an_id_shows_kind_model_and_revision(tmp_path):
    assert judge_id("k", "org/name", "abc", x=1).startswith("k:org/name@abc:")
    assert judge_id("k", "m", None, x=1).startswith("k:m:")
    folder = tmp_path / "guard"
    folder.mkdir()
    assert judge_id("k", str(folder), None).startswith("k:guard:")
    assert judge_id("k", "m", x=1) != judge_id("k", "m", x=2)


def test_a_folders_mark_follows_its_files(tmp_path):
    assert folder_mark("org/name") is None
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(300_000))
    (tmp_path / "config.json").write_text("{}")
    marks = {folder_mark(str(tmp_path))}
    (tmp_path / "README.md").write_text("says nothing about scores")
    assert marks == {folder_mark(str(tmp_path))}
    changed = bytearray(300_000)
    changed[150_000] = 1
    weights.write_bytes(changed)
    marks.add(folder_mark(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"a": 1}')
    marks.add(folder_mark(str(tmp_path)))
    weights.write_bytes(bytes(300_001))
    marks.add(folder_mark(str(tmp_path)))
    weights.rename(tmp_path / "other.safetensors")
    marks.add(folder_mark(str(tmp_path)))
    assert len(marks) == 5
