"""`openai`: against a real endpoint on 127.0.0.1 that answers, mumbles, fails, throttles, hangs and refuses."""

import logging
import math
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from support.judge_endpoint import Reply, serve

from riskmon.config import OpenAIJudge
from riskmon.errors import ModelUnavailable
from riskmon.estimate.judges import build_judge
from riskmon.estimate.judges.openai import build_openai, parse_rating
from riskmon.records import Message, Prompt

SECRET_TEXT = "the ZEBRA crosses"
PROMPT = Prompt("p", SECRET_TEXT)
KEY = "sk-very-secret"


def config(url, **more):
    return OpenAIJudge(kind="openai", url=url, model="guard", rubric="0 good, 100 bad", **more)


@pytest.fixture
def waits():
    return []


def judge_at(endpoint, waits, **more):
    return build_openai(config(endpoint.url, **more), sleep=waits.append)


@pytest.mark.parametrize(
    ("answer", "rating"),
    [
        ("85", 0.85), (" 85\n", 0.85), ("0", 0.0), ("100", 1.0), ("85/100", 0.85), ("85 / 100", 0.85), ("12.5", 0.125),
        ("101", None), ("-5", None), ("85%", None), ("Rating: 85", None), ("85.", None), ("8/10", None),
        ("85 100", None),
        ("٨٥", None), ("1e1", None), ("", None), ("nan", None), ("0085", None), ("I would say 85 because", None),
    ],
)  # fmt: skip
def test_an_answer_is_the_number_and_nothing_else(answer, rating):
    parsed = parse_rating(answer)
    assert math.isnan(parsed) if rating is None else parsed == rating


def test_verdicts_come_back_in_order_and_unreadable_ones_as_nan(waits):
    answers = {"one": "10", "two": "I cannot judge that", "three": "70/100", "four": None, "five": "100"}

    def reply(number, text):
        word = next(word for word in answers if f"<answer>\n{word}\n" in text)
        return Reply(answers[word], delay_s=0.05 if word == "one" else 0)

    with serve(reply) as endpoint:
        scores = judge_at(endpoint, waits).judge(PROMPT, list(answers)).scores
    np.testing.assert_array_equal(scores, [0.1, np.nan, 0.7, np.nan, 1.0])
    assert scores.dtype == np.float64
    assert waits == [], "an answer that cannot be read is not asked for again"


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'{"choices": []}', b'{"choices": [{"message": {}}]}', b"\xff"]
)
def test_an_answer_of_another_shape_is_unreadable(body, waits):
    with serve(lambda *_: Reply(body=body)) as endpoint:
        assert np.isnan(judge_at(endpoint, waits).judge(PROMPT, ["x"]).scores).all()


def test_the_request_carries_rubric_dialogue_and_key(waits):
    chat = Prompt("c", (Message("system", "Be kind."), Message("user", "Hi \ud800")))
    with serve(lambda *_: Reply("5")) as endpoint:
        judge_at(endpoint, waits, api_key=KEY + "\n").judge(chat, ["An answer."])
        judge_at(endpoint, waits).judge(PROMPT, ["Another."])
    (path, headers, body), (_, plain, _) = endpoint.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in plain
    assert body["model"] == "guard"
    assert body["temperature"] == 0
    system, user = body["messages"]
    assert system["role"] == "system"
    assert "0 good, 100 bad" in system["content"]
    assert user["role"] == "user"
    assert "system: Be kind.\nuser: Hi ?" in user["content"]
    assert "<answer>\nAn answer.\n</answer>" in user["content"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_fault_that_may_pass_is_tried_again_after_growing_waits(status, waits):
    with serve(lambda number, _: Reply("40") if number == 3 else Reply(status=status)) as endpoint:
        assert judge_at(endpoint, waits).judge(PROMPT, ["x"]).scores.tolist() == [0.4]
    assert len(endpoint.requests) == 3
    assert 0.25 <= waits[0] <= 0.75
    assert 0.5 <= waits[1] <= 1.5


def test_retry_after_is_heeded_as_seconds_and_as_a_date(waits):
    def reply(number, _):
        if number == 1:
            return Reply(status=429, headers={"Retry-After": "7"})
        if number == 2:
            at = datetime.now(UTC) + timedelta(seconds=20)
            return Reply(status=503, headers={"Retry-After": format_datetime(at, usegmt=True)})
        return Reply("40") if number == 4 else Reply(status=429, headers={"Retry-After": "soon"})

    with serve(reply) as endpoint:
        assert judge_at(endpoint, waits).judge(PROMPT, ["x"]).scores.tolist() == [0.4]
    assert waits[0] == 7
    assert waits[1] == pytest.approx(19, abs=1.5)
    assert 1 <= waits[2] <= 3, "what is neither is ignored"


def test_an_endpoint_that_asks_for_an_hour_is_given_up(waits):
    with serve(lambda *_: Reply(status=429, headers={"Retry-After": "3600"})) as endpoint:
        assert np.isnan(judge_at(endpoint, waits).judge(PROMPT, ["x"]).scores).all()
    assert len(endpoint.requests) == 1
    assert waits == []


def test_after_all_tries_there_is_no_verdict_and_one_line_without_text(waits, caplog):
    caplog.set_level(logging.DEBUG)
    with serve(
        lambda number, text: Reply("9") if "fine" in text else Reply(status=500, body=text.encode())
    ) as endpoint:
        scores = judge_at(endpoint, waits, retries=2, api_key=KEY).judge(PROMPT, ["bad one", "fine"]).scores
    np.testing.assert_array_equal(scores, [np.nan, 0.09])
    assert len(endpoint.requests) == 4
    ours = [record for record in caplog.records if record.name.startswith("riskmon")]
    assert [record.getMessage() for record in ours if record.levelno >= logging.WARNING] == [
        "judge 'openai' gave no readable verdict on 1 of 2 outputs"
    ]
    for text in ("ZEBRA", "bad one", KEY, "0 good"):
        assert text not in caplog.text


def test_a_hanging_endpoint_is_left_after_the_timeout(waits):
    with serve(lambda number, _: Reply("20", delay_s=1.5 if number == 1 else 0)) as endpoint:
        started = time.monotonic()
        scores = judge_at(endpoint, waits, timeout="200ms", retries=1).judge(PROMPT, ["x"]).scores
        assert time.monotonic() - started < 1.2
    assert scores.tolist() == [0.2]
    assert len(waits) == 1


def test_an_endpoint_that_is_away_costs_the_tries_of_one_question_and_not_of_all(waits):
    with serve(lambda number, text: Reply(status=500)) as endpoint:
        judge = judge_at(endpoint, waits, retries=2, concurrency=8)
        assert np.isnan(judge.judge(PROMPT, ["x"] * 100).scores).all()
        # Eight at once went through their three tries; others may have begun before the last of them was done.
        assert 24 <= len(endpoint.requests) <= 15 * 3
        before = len(endpoint.requests)
        judge.judge(PROMPT, ["x"] * 100)
        assert len(endpoint.requests) >= before + 24  # the next batch asks again


def test_an_endpoint_that_fails_now_and_then_is_asked_about_every_output(waits):
    with serve(lambda number, text: Reply(status=500) if number % 4 == 0 else Reply("10")) as endpoint:
        scores = judge_at(endpoint, waits, retries=0, concurrency=2).judge(PROMPT, ["x"] * 100).scores
        assert len(endpoint.requests) == 100
        assert np.isnan(scores).sum() == 25


def test_nobody_listening_is_no_verdict(waits):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        scores = build_openai(config(url, retries=2), sleep=waits.append).judge(PROMPT, ["x"]).scores
    assert np.isnan(scores).all()
    assert len(waits) == 2


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_a_refusal_of_all_requests_is_an_error_without_text(status, waits):
    with serve(lambda _, text: Reply(status=status, body=text.encode())) as endpoint:
        judge = judge_at(endpoint, waits, api_key=KEY)
        with pytest.raises(
            ModelUnavailable, match=f"model 'guard' with status {status}; check url"
        ) as caught:
            judge.judge(PROMPT, ["bad one"] * 20)
    for text in ("ZEBRA", "bad one", KEY):
        assert text not in str(caught.value)
    assert len(endpoint.requests) <= 20
    assert waits == []


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_one_request_is_no_verdict(status, waits):
    with serve(lambda _, text: Reply(status=status) if "filtered" in text else Reply("3")) as endpoint:
        judge = judge_at(endpoint, waits)
        np.testing.assert_array_equal(judge.judge(PROMPT, ["filtered", "fine"]).scores, [np.nan, 0.03])
        np.testing.assert_array_equal(judge.judge(PROMPT, ["filtered"]).scores, [np.nan])
        assert len(endpoint.requests) == 3
        fresh = judge_at(endpoint, waits)
        with pytest.raises(ModelUnavailable, match=f"status {status}"):
            fresh.judge(PROMPT, ["filtered"])


def test_no_more_requests_at_once_than_allowed(waits):
    with serve(lambda *_: Reply("1", delay_s=0.03)) as endpoint:
        scores = judge_at(endpoint, waits, concurrency=3).judge(PROMPT, ["x"] * 12).scores
    assert scores.tolist() == [0.01] * 12
    assert 1 < endpoint.peak <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("judge")]


def test_key_and_rubric_stay_out_of_id_and_repr(waits):
    one = build_judge(config("http://localhost:1/v1", api_key=KEY))
    for text in (repr(one), one.id, repr(vars(one)), repr(vars(one._endpoint))):
        assert KEY not in text
    assert one.id.startswith("openai:guard:")
    assert "0 good" not in one.id + repr(one)
    assert one.id == build_judge(config("http://localhost:1/v1", timeout="1s", threshold=0.9)).id
    other = OpenAIJudge(kind="openai", url="http://localhost:1/v1", model="guard", rubric="other")
    assert len({one.id, build_judge(other).id, build_judge(config("http://localhost:2/v1")).id}) == 3


@pytest.mark.parametrize("key", ["", " \n", "k\u00e9y", "a\nb"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key):
    with pytest.raises(ModelUnavailable, match="api_key is empty or holds characters") as caught:
        build_judge(config("http://localhost:1/v1", api_key=key))
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize("url", ["http://host:port/v1", "https:///v1"])
def test_a_url_that_cannot_be_read_is_refused(url):
    with pytest.raises(ModelUnavailable, match="url cannot be read"):
        build_judge(config(url))
