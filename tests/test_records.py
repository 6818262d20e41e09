from datetime import UTC, datetime

from support.estimates import made_draws

from riskmon.records import Message, Position, Prompt, PromptResult, SampledPrompt, Stratum

SECRET = "the text nobody may see"
PROMPTS = [
    Prompt("a", SECRET, response=SECRET),
    Prompt("b", (Message("user", SECRET), Message("assistant", SECRET)), position=Position("t", 0, 7)),
]


def test_no_repr_shows_text():
    for prompt in PROMPTS:
        sampled = SampledPrompt(prompt, datetime(2026, 1, 1, tzinfo=UTC), 0.5)
        for shown in (repr(prompt), str(prompt), repr(sampled), repr(PromptResult(prompt)), repr([prompt])):
            assert SECRET not in shown
            assert prompt.id in shown


def test_draws_do_not_show_their_tokens():
    draws = made_draws([-1.0] * 3, [[-1.0] * 3], [0, 0, 0])
    assert repr(draws) == "Draws(n=3, counts=[3], forward_tokens=3)"


def test_a_stratum_survives_its_key():
    for labels in ((), (("route", 'a "b",[c]'), ("model", "ü\n"))):
        stratum = Stratum(labels)
        assert Stratum.from_key(stratum.key()) == stratum
    assert str(Stratum()) == "all"


def test_stream_keys_tell_positions_apart():
    assert PROMPTS[0].stream_key == "a"
    assert PROMPTS[1].stream_key == "b@t/0/7"
