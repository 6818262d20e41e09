"""Rewordings keep what they must keep, differ from the prompt and one another, and follow from the seed alone."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskmon.config.sensitivity import SensitivityConfig
from riskmon.errors import ConfigError
from riskmon.records import Message, Position, Prompt, Stratum
from riskmon.sensitivity.politeness import english_wrappers, read_wrappers
from riskmon.sensitivity.protected import must_keep, pieces
from riskmon.sensitivity.surface import case_rewordings, spacing_rewordings
from riskmon.sensitivity.variants import last_user_turn, make_variants

TEXT = "Write a short poem about 3 cats. Use https://Example.org/Cats?id=7 and `call(Cat)` for it!"
SURFACE = ("case", "spacing", "typos")


def made(text=TEXT, *, seed=0, paraphrases=(), prompt_id="a", **config):
    prompt = text if isinstance(text, Prompt) else Prompt(prompt_id, text, Stratum((("route", "chat"),)))
    return make_variants(prompt, SensitivityConfig(**config), english_wrappers(), seed, paraphrases)


def texts(variants):
    return [last_user_turn(variant.prompt) for variant in variants]


def fixed(text):
    """What is protected, white space aside."""
    return [word for piece in pieces(text) if not piece.free for word in piece.text.split()]


def test_every_kind_has_its_turn_and_a_name_of_its_own():
    found = made(variants=12)
    assert [variant.prompt.id for variant in found[:5]] == [
        "a~case-1", "a~spacing-1", "a~typos-1", "a~politeness-1", "a~case-2",
    ]  # fmt: skip
    assert len(found) == 12
    assert {variant.prompt.stratum for variant in found} == {Stratum((("route", "chat"),))}


def test_kinds_that_run_dry_leave_their_turns_to_the_others():
    found = made(variants=60)
    assert len(found) == 60
    counts = {kind: sum(variant.kind == kind for variant in found) for kind in ("case", "spacing", "typos")}
    assert counts["case"] == 3  # the fourth, sentence case, is the text itself
    assert counts["typos"] > 20


def test_the_seed_and_the_prompt_decide():
    assert texts(made(variants=20)) == texts(made(variants=20))
    assert texts(made(variants=20)) != texts(made(variants=20, seed=1))
    assert texts(made(variants=20)) != texts(made(variants=20, prompt_id="b"))
    # More of them begin with the same ones.
    assert texts(made(variants=20))[:10] == texts(made(variants=10))


def test_case_and_spacing_by_hand():
    assert list(case_rewordings(TEXT)) == [
        "write a short poem about 3 cats. use https://Example.org/Cats?id=7 and `call(Cat)` for it!",
        "WRITE A SHORT POEM ABOUT 3 CATS. USE https://Example.org/Cats?id=7 AND `call(Cat)` FOR IT!",
        "Write A Short Poem About 3 Cats. Use https://Example.org/Cats?id=7 And `call(Cat)` For It!",
        "Write a short poem about 3 cats. Use https://Example.org/Cats?id=7 and `call(Cat)` for it!",
    ]
    spaced = list(spacing_rewordings("Why? Tell me."))
    assert spaced == [
        "Why?  Tell  me.", "Why? Tell me", "Why? Tell me.\n", " Why? Tell me.", "Why?\nTell me.",
        "Why? Tell me.  ", "\nWhy? Tell me.",
    ]  # fmt: skip


def test_sentence_case_sees_ends_of_sentences_behind_protected_words():
    *_, sentence = case_rewordings('IT COSTS 5$. YOU KNOW. he said: "NO." THEN\nwe LEFT')
    assert sentence == 'It costs 5$. You know. He said: "no." Then\nWe left'


def test_a_typo_leaves_first_letters_short_words_and_protected_words_alone():
    for text in texts(made(variants=50, kinds=["typos"], typo_share=0.2)):
        assert [word[0] for word in text.split()] == [word[0] for word in TEXT.split()]
        assert [word for word in text.split() if len(word) < 3] == ["a", "3"]
        assert abs(len(text) - len(TEXT)) <= 10
        assert "https://Example.org/Cats?id=7" in text
        assert "`call(Cat)`" in text


def test_code_is_left_as_it_is():
    code = "Fix this:\n\n```python\nfor Item in items:\n    print(Item)\n```\n\nThank the author in words."
    found = made(code, variants=40, kinds=SURFACE)
    assert len(found) == 40
    assert all("```python\nfor Item in items:\n    print(Item)\n```" in text for text in texts(found))


def test_requests_are_asked_for_and_everything_else_is_only_wrapped():
    request = texts(made("Describe the cat.", variants=16, kinds=["politeness"]))
    assert "Please describe the cat." in request
    assert "Could you describe the cat?" in request
    question = texts(made("Why do cats purr?", variants=10, kinds=["politeness"]))
    assert len(question) == 10
    assert all("Why do cats purr?" in text for text in question)


def test_only_the_last_user_turn_of_a_chat_changes():
    chat = Prompt(
        "c",
        (
            Message("system", "Be brief."),
            Message("user", "First question here?"),
            Message("assistant", "First answer here."),
            Message("user", "Second question here?"),
            Message("tool", "nothing found"),
        ),
        position=Position("prompts", 0, 7),
        response="An answer.",
    )
    found = made(chat, variants=20)
    assert len(found) == 20
    for variant in found:
        assert variant.prompt.position == chat.position
        assert variant.prompt.response is None
        assert [*variant.prompt.content[:3], variant.prompt.content[4]] == [
            *chat.content[:3],
            chat.content[4],
        ]
    assert len({variant.prompt.stream_key for variant in found}) == 20


@pytest.mark.parametrize("content", ["   ", (), (Message("system", "Be brief."),), (Message("user", " \n"),)])
def test_without_a_user_turn_there_is_nothing_to_reword(content):
    assert made(Prompt("e", content)) == []


def test_paraphrases_have_their_turns_where_a_model_is_configured():
    model = {"kind": "openai", "model": "m"}
    config = {"paraphrase": model, "kinds": ["case", "paraphrase"], "variants": 4}
    found = made("Tell me a story", paraphrases=["One story please", "TELL ME A STORY"], **config)
    assert [variant.kind for variant in found] == ["case", "paraphrase", "case", "case"]
    assert texts(found)[2] == "TELL ME A STORY"  # the same text does not come twice


words = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.from_regex(r"\A[a-zA-Z]{1,9}[.!?]?\Z"),
    st.from_regex(r"\A[0-9]{1,4}(\.[0-9]+)?%?\Z"),
    st.from_regex(r"\Ahttps?://[a-z]{1,8}\.[a-z]{2,3}/[A-Za-z0-9]{0,5}\Z"),
    st.sampled_from(["`code(X)`", "a@b.org", "ﬁne", "straße", "İstanbul", "안녕하세요", "你好世界", "don't"]),
)
any_text = st.lists(words, min_size=1, max_size=12).map(" ".join).filter(str.strip)


@settings(max_examples=80, deadline=None)
@given(any_text, st.integers(0, 2**32))
def test_whatever_the_text_rewordings_differ_and_keep_what_is_protected(text, seed):
    assert "".join(piece.text for piece in pieces(text)) == text
    found = made(text, seed=seed, variants=30, kinds=[*SURFACE, "politeness"])
    reworded = texts(found)
    assert text not in reworded
    assert len(set(reworded)) == len(reworded)
    assert [variant.prompt.id for variant in found] == list(dict.fromkeys(v.prompt.id for v in found))
    for variant, other in zip(found, reworded, strict=True):
        if variant.kind in SURFACE:
            assert fixed(other) == fixed(text)
        assert must_keep(other) == must_keep(text)
        assert re.findall(r"[0-9]+", other) == re.findall(r"[0-9]+", text)


def test_wrappers_of_your_own(tmp_path):
    file = tmp_path / "wrappers.yaml"
    file.write_text("any: ['Bitte: {text}', '{text} Danke!']\n")
    found = make_variants(
        Prompt("d", "Was ist {text}?"), SensitivityConfig(kinds=["politeness"]), read_wrappers(file), 0
    )
    assert set(texts(found)) == {"Bitte: Was ist {text}?", "Was ist {text}? Danke!"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("any: ['no slot']", "every entry of 'any' must hold {text} once"),
        ("any: ['{text}']", "something around it"),
        ("some: []", "must hold 'any'"),
        ("any: ['{text}!']\nrequests: {starts: [tell]}", "'requests' must hold"),
        ("any: Please {text}", "'any' must be a list of texts"),
        ("any: [", "not YAML"),
    ],
)
def test_wrappers_that_cannot_be_used_are_refused(tmp_path, content, words):
    file = tmp_path / "wrappers.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_wrappers(file)
    with pytest.raises(ConfigError, match="No such file"):
        read_wrappers(tmp_path / "missing.yaml")


def test_settings_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="must name a model"):
        SensitivityConfig(kinds=["paraphrase"])
    with pytest.raises(ValueError, match="differ from one another"):
        SensitivityConfig(kinds=["case", "case"])
    with pytest.raises(ValueError, match="deadline"):
        SensitivityConfig(device_budget="2h")
