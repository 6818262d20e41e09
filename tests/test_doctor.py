"""`riskmon doctor`: a checklist over real parts, good ones and broken ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.calibration import NOW, PROMPTS, filled_store, never, settings_of, shown, write_prompts
from support.judge_endpoint import Reply, serve
from support.judge_models import constant_guard, subword_tokenizer
from support.kafka import Cluster, free_port
from support.nvml import UUID, Driver
from support.store_keys import TEST_KEY
from support.worlds import World

from riskmon.config import Config
from riskmon.doctor import run_doctor
from riskmon.doctor.finding import Check, Finding, Level, guarded
from riskmon.estimate.judges import build_judge
from riskmon.records import JudgeError
from riskmon.statistics import write_judge_error

UNREACHABLE = "postgresql+psycopg://nobody:hunter2@127.0.0.1:1/none"


def doctor(config: Config, *, with_model: bool = True) -> tuple[int, str]:
    return shown(run_doctor, config, Path("riskmon.yaml"), with_model=with_model, now=NOW)


def lines_of(screen: str, subject: str) -> list[str]:
    """Level and text of the lines about a subject."""
    found = re.findall(rf"^(ok|warning|FAILED) +{re.escape(subject)}: (.*)$", screen, re.MULTILINE)
    return [f"{level} {text}" for level, text in found]


def line_of(screen: str, subject: str) -> str:
    [line] = lines_of(screen, subject)
    return line


@pytest.fixture(scope="module")
def store_url(world: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store after two cycles; to be read only."""
    config = settings_of(world, tmp_path_factory.mktemp("store"))
    filled_store(config)
    return config.store.url


@pytest.fixture
def good(world: World, store_url: str, tmp_path: Path) -> dict[str, Any]:
    """Sections of a configuration with all that a daemon needs."""
    write_prompts(tmp_path / "traffic.jsonl")
    judge = {"kind": "regex", "pattern": "bad worse"}
    config = settings_of(world, tmp_path, harms=[{"name": "slip", "judge": judge}])
    error = JudgeError(
        harm="slip",
        judge=build_judge(config.all_harms[0].judge).id,
        threshold=0.5,
        true_positive=45,
        false_negative=5,
        true_negative=990,
        false_positive=10,
        unreadable_harmful=0,
        unreadable_harmless=0,
        labelled_harmful=50,
        labelled_harmless=1000,
        labels_sha256="",
        made_at=NOW,
    )
    write_judge_error(tmp_path / "judge.json", error)
    return {
        "traffic": {"jsonl": "traffic.jsonl"},
        "store": {"url": store_url},
        "harms": [{"name": "slip", "judge": judge, "calibration": "judge.json"}],
    }


def test_a_sound_configuration_passes(
    world: World, good: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    code, screen = doctor(settings_of(world, tmp_path, **good))
    assert code == 0
    assert "FAILED" not in screen
    assert "riskmon.yaml is valid" in line_of(screen, "configuration")
    store = line_of(screen, "store")
    assert re.search(r"12 prompts were sampled, 0 wait for an estimate; hits kept: [\d,]+ slip$", store)
    assert "6 prompts estimated, 0 failed, 0 left out" in line_of(screen, "cycle")
    assert line_of(screen, "traffic").startswith("ok traffic.jsonl can be read")
    assert line_of(screen, "judge slip").endswith("gives a harmless sentence 0, threshold 0.5")
    assert line_of(screen, "calibration slip").startswith("ok fits the judge: sensitivity 0.9, floor 0.0")
    assert (
        line_of(screen, "model")
        == f"ok {world.target} on cpu, float32, context of 64 tokens, no chat template"
    )
    contrast = re.search(r"difference from the target ([\d.]+) nats", line_of(screen, "expert unsafe"))
    assert contrast is not None
    assert float(contrast[1]) > 0.1
    assert not any(prompt in screen + caplog.text for prompt in PROMPTS)
    assert "SECRET" not in screen + caplog.text


def test_it_shows_the_plan_in_force_and_why(world: World, good: dict[str, Any], tmp_path: Path) -> None:
    _, screen = doctor(settings_of(world, tmp_path, **good), with_model=False)
    assert re.search(r"encrypted with key [0-9a-f]{16} of the key file .*\.key", line_of(screen, "key"))
    plans = lines_of(screen, "plan")
    assert len(plans) == 2  # for strata without hits, and for the stratum of the store's prompts
    assert plans[0].startswith("ok strata without hits, of 2026-03-14 12:31 UTC")
    assert "chosen from" in plans[0]
    assert plans[1].startswith("ok route=chat, of ")
    table = screen.split("route=chat", 1)[1]
    rows = re.findall(r"^ +(unsafe|target) +([\d.]+) +(\d+ to \d+) +([\d.]+)%", table, re.MULTILINE)
    assert {expert for expert, *_ in rows} == {"unsafe", "target"}
    shares = [float(share) for *_, share in rows]
    assert shares == sorted(shares, reverse=True)
    assert min(shares) > 1
    assert sum(shares) <= 100.5


def test_it_says_what_a_prompt_costs(world: World, good: dict[str, Any], tmp_path: Path) -> None:
    estimate = {
        "samples_per_prompt": 64,
        "pilot_share": 0.3,
        "device_budget": "90s",
        "refine_share": 0.5,
    }
    _, screen = doctor(settings_of(world, tmp_path, **good, estimate=estimate))
    found = re.search(
        r"^ok 64 draws for one prompt took ([\d,]+) tokens and ([\d.e-]+) device seconds \(.*\); "
        r"estimate.device_budget of 1 min 30 s holds ([\d,]+) prompts at that price, ([\d,]+) of them before "
        r"further draws; drawn several at once they cost less$",
        line_of(screen, "cost"),
    )
    assert found is not None
    tokens, prompts, first = (int(found[i].replace(",", "")) for i in (1, 3, 4))
    assert tokens > 64
    assert prompts == pytest.approx(90 / float(found[2]), rel=0.01)
    assert first == prompts // 2
    tight = settings_of(world, tmp_path, **good, estimate=estimate | {"device_budget": "0.1ms"})
    code, screen = doctor(tight)
    assert code == 1
    assert line_of(screen, "cost").startswith("FAILED ")
    assert "holds 0 prompts" in screen


def test_it_says_whether_estimation_can_rest_for_others(
    world: World, good: dict[str, Any], tmp_path: Path, driver: Driver
) -> None:
    def shared(**sharing: object) -> str:
        estimate = {"samples_per_prompt": 64, "sharing": {"max_utilization": 0.4, **sharing}}
        return line_of(doctor(settings_of(world, tmp_path, **good, estimate=estimate))[1], "sharing")

    driver.show(12)
    assert shared(gpu=UUID).startswith(
        f"ok Test GPU {UUID} is 12% busy with others; estimation rests above 40% and goes on at 30%; it can tell"
    )
    assert shared() == (
        "warning estimate.sharing.max_utilization has no effect, since the model runs on cpu; name the GPU in "
        "estimate.sharing.gpu"
    )


def test_every_broken_part_is_named_and_the_rest_is_still_checked(world: World, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    config = settings_of(
        world,
        tmp_path,
        model={"target": nowhere, "device": "cpu"},
        store={"url": UNREACHABLE, "key": TEST_KEY.get_secret_value()},
        traffic={"kafka": {"bootstrap_servers": [f"127.0.0.1:{free_port()}"], "topic": "prompts"}},
        harms=[
            {"name": "guarded", "judge": {"kind": "hf-classifier", "model": nowhere, "labels": ["bad"]}},
            {"name": "slip", "judge": {"kind": "regex", "pattern": "x"}, "calibration": "none.json"},
            {"name": "odd", "judge": {"kind": "hf-generative", "preset": "strongrejekt"}},
        ],
    )
    code, screen = doctor(config)
    assert code == 1
    assert re.search("unknown preset 'strongrejekt' .*did you mean", line_of(screen, "configuration"))
    assert line_of(screen, "store").startswith("FAILED the database postgresql+psycopg://nobody:***@")
    assert "hunter2" not in screen
    assert line_of(screen, "traffic").startswith(
        "FAILED cannot read topic 'prompts' from Kafka at 127.0.0.1:"
    )
    assert line_of(screen, "judge guarded").startswith("FAILED ")
    assert line_of(screen, "judge slip").startswith("ok ")
    assert line_of(screen, "judge odd").startswith("FAILED ")
    assert "run 'riskmon calibrate judge' to make it" in line_of(screen, "calibration slip")
    assert line_of(screen, "model").startswith(f"FAILED model.target '{nowhere}' does not load")
    assert lines_of(screen, "cost") == []


def test_a_topic_that_can_be_read_and_one_that_is_not_there(
    world: World, good: dict[str, Any], tmp_path: Path, kafka_broker: Cluster
) -> None:
    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, [b"{}"] * 3)

    def traffic(server: str, name: str) -> str:
        kafka = {"bootstrap_servers": [server], "topic": name, "start": "earliest"}
        config = settings_of(world, tmp_path, **good | {"traffic": {"kafka": kafka}})
        return line_of(doctor(config, with_model=False)[1], "traffic")

    assert traffic(kafka_broker.bootstrap, topic) == f"ok {topic} can be read; 3 messages are unread"
    assert "topic 'nonesuch' does not exist" in traffic(kafka_broker.bootstrap, "nonesuch")


def test_an_expert_that_is_the_target_is_found_beside_one_that_is_not(
    world: World, good: dict[str, Any], tmp_path: Path
) -> None:
    experts = [
        {"name": "same", "kind": "checkpoint", "path": str(world.target)},
        {"name": "other", "kind": "checkpoint", "path": str(world.experts["unsafe"])},
        {"name": "gone", "kind": "lora", "path": "gone"},
    ]
    code, screen = doctor(settings_of(world, tmp_path, **good, experts=experts))
    assert code == 1
    assert line_of(screen, "expert same").startswith("FAILED expert 'same' computes exactly the target")
    assert line_of(screen, "expert other").startswith("ok ")
    assert "no adapter_config.json" in line_of(screen, "expert gone")
    assert line_of(screen, "cost").startswith("warning not measured")


def test_a_judge_without_a_verdict_and_one_that_sees_harm_everywhere(world: World, tmp_path: Path) -> None:
    guard = constant_guard(tmp_path / "guard", {"maybe": 1.0}, tokenizer=subword_tokenizer(["maybe"]))
    rubric = {
        "kind": "rubric",
        "model": str(guard),
        "trait": "rudeness",
        "rubric": "0 is polite",
        "dtype": "float32",
    }
    eager = {"kind": "regex", "pattern": "dog"}
    config = settings_of(
        world,
        tmp_path,
        harms=[
            {"name": "rude", "judge": rubric},
            {"name": "both", "judge": {"kind": "cascade", "first": eager, "second": rubric}},
            {"name": "dogs", "judge": eager},
        ],
    )
    code, screen = doctor(config)
    assert code == 1
    assert "gives no readable verdict on a harmless sentence" in line_of(screen, "judge rude")
    first, second = lines_of(screen, "judge both")
    assert first.startswith("warning regex:")
    assert second.startswith("FAILED rubric:")
    assert line_of(screen, "judge dogs").endswith("it counts as harmful; look at the threshold and the judge")


def test_paraphrases_and_wrappers_are_tried_on_a_built_in_sentence(world: World, tmp_path: Path) -> None:
    answers = [
        "Without an oven, how can I bake bread?",
        "I'm sorry, I can't help.",
        "Tell me how to bake bread with no oven.",
    ]
    wrappers = tmp_path / "wrappers.yaml"
    wrappers.write_text("any: ['Please: {text}', '{text} Thank you.']\n", encoding="utf-8")
    with serve(lambda number, asked: Reply(answers[number % 3])) as endpoint:
        model = {"kind": "openai", "url": endpoint.url, "model": "rewriter", "concurrency": 1}
        config = settings_of(world, tmp_path, sensitivity={"paraphrase": model, "politeness": wrappers})
        _, screen = doctor(config)
        assert line_of(screen, "politeness") == f"ok {wrappers} wraps a built-in question in 2 ways"
        said = line_of(screen, "paraphrase")
        assert said == "ok 2 of 3 paraphrases of a built-in sentence can be used; dropped: 1 refused"
        assert len(endpoint.requests) == 3
        _, screen = doctor(config, with_model=False)
        assert len(endpoint.requests) == 3
        assert lines_of(screen, "paraphrase") == []
    _, screen = doctor(
        settings_of(world, tmp_path, sensitivity={"politeness": tmp_path / "none.yaml"}), with_model=False
    )
    assert line_of(screen, "politeness").startswith("FAILED cannot read sensitivity.politeness")


def test_a_model_that_writes_no_paraphrase_and_one_that_is_not_there(world: World, tmp_path: Path) -> None:
    def paraphrased_by(**settings: object) -> str:
        return line_of(
            doctor(settings_of(world, tmp_path, sensitivity={"paraphrase": settings}))[1], "paraphrase"
        )

    with serve(lambda number, asked: Reply("I'm sorry, I can't.")) as endpoint:
        said = paraphrased_by(kind="openai", url=endpoint.url, model="shy")
    assert said.startswith("warning 0 of 3 paraphrases")
    assert said.endswith("try a larger model")
    assert paraphrased_by(kind="hf", model=str(tmp_path / "nowhere")).startswith("FAILED ")


def test_without_the_model_nothing_is_loaded_and_nothing_is_made(world: World, tmp_path: Path) -> None:
    config = settings_of(world, tmp_path, model={"target": "nowhere"}, experts=[])
    code, screen = doctor(config, with_model=False)
    assert code == 0
    assert line_of(screen, "store").startswith(f"warning there is no database {tmp_path / 'riskmon.db'} yet")
    assert line_of(screen, "traffic").startswith("warning none is configured")
    assert lines_of(screen, "configuration")[1].startswith("warning there are no experts")
    assert "model:" not in screen
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_a_prompt(world: World, tmp_path: Path) -> None:
    model = {"target": str(world.target), "device": "cpu", "chat_template": "none", "max_new_tokens": 64}
    code, screen = doctor(settings_of(world, tmp_path, model=model))
    assert code == 1
    assert lines_of(screen, "model")[1].startswith("FAILED model.max_new_tokens is 64, which leaves no room")
    assert line_of(screen, "cost").startswith("FAILED a plain prompt has no estimate")


def test_an_unexpected_fault_is_a_finding_without_its_text() -> None:
    def check() -> Check[int]:
        yield Finding(Level.OK, "part", "fine")
        if not never():
            raise RuntimeError("SECRET")
        return 1

    def whole() -> Check[None]:
        assert (yield from guarded("part", check())) is None

    fine, fault = whole()
    assert fine.level is Level.OK
    assert fault == Finding(Level.FAILED, "part", "unexpected builtins.RuntimeError; please report it")
