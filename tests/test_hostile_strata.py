"""Ten thousand hostile label values, from the message to the scrape: bounded, shortened, and readable by everyone."""

import json
import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from support.prometheus import lint_metrics
from support.store_records import success

from riskmon.config import StoreConfig
from riskmon.config_file import parse_config
from riskmon.jobs import follow_traffic, forecast
from riskmon.publish import Facts, Server, build_app
from riskmon.records.strata import OTHER
from riskmon.store import open_store
from riskmon.traffic import open_source
from riskmon.traffic.decode import Reason
from riskmon.traffic.strata import LONGEST_LABEL

NOW = datetime(2026, 11, 3, 12, 30, tzinfo=UTC)
MESSAGES = 10_000
CAP = 40
# What breaks line formats, quoting, encodings, JSON, HTML and shells.
SNIPPETS = (
    *('"', "\\", "\n", "\r", "\r\n", "\t", "\0", "\x1b[31m", "\x85", "\u2028", "\u2029", "\u202e", "\ufeff"),
    *(
        '"} 1\nriskmon_store_up 0\n#',
        "# EOF\n",
        "# HELP x y\n",
        "{{ . }}",
        "$(id)",
        "<script>",
        "'; --",
        "%00",
    ),
    *("模型", "🙂", "e\u0301", "\u00e9", "ﬁ", "\U0010ffff", " "),
    *("x" * 5_000, "语" * 3_000, "other", "unknown", "NaN", "+Inf", "null", "0"),
)

# UTF-8 cannot carry them; JSON can write them.
LONE_SURROGATES = ("\ud83d", "\udc00", "\ud83d\ud83d", "\udfff!")


def hostile(rng: random.Random) -> object:
    if rng.random() < 0.02:
        return rng.choice([None, True, 12.5, 10**300, [1], {"a": "b"}, "", -0.0])
    if rng.random() < 0.02:
        return rng.choice(LONE_SURROGATES) + str(rng.random())
    return "".join(rng.choice(SNIPPETS) for _ in range(rng.randint(1, 4))) + rng.choice(
        ["", str(rng.random())]
    )


def encodes(line):
    """Whether UTF-8 can carry the labels of a request."""
    try:
        f"{line['attributes']['route']}{line['model']}".encode()
    except UnicodeEncodeError:
        return False
    return True


def config(folder):
    return parse_config(
        {
            "model": {"target": "org/model"},
            "harms": [{"name": "misuse", "judge": {"kind": "regex", "pattern": "x"}, "budget_daily": 10}],
            "traffic": {
                "jsonl": "traffic.jsonl",
                "strata": ["attributes.route", "model"],
                "max_strata": CAP,
                "max_label_values": CAP,
                "sample_per_window": 1,
            },
            "forecast": {"draws": 200},
        },
        base=folder,
    )


@pytest.fixture(scope="module")
def scrape(tmp_path_factory):
    """Bodies and content types of both expositions."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = random.Random(7)
    lines = [
        json.dumps(
            {
                "id": f"r{i}",
                "prompt": "text",
                "timestamp": (NOW - timedelta(minutes=40, seconds=i % 600)).timestamp(),
                "attributes": {"route": hostile(rng)},
                "model": hostile(rng),
            }
        )
        for i in range(MESSAGES)
    ]
    unreadable = sum(not encodes(json.loads(line)) for line in lines)
    assert unreadable > 100
    (folder / "traffic.jsonl").write_text("\n".join(lines) + "\n")
    settings = config(folder)
    with open_store(f"sqlite:///{folder}/risk.db") as store:
        follow_traffic(
            open_source(settings.traffic),
            store,
            settings.traffic,
            NOW - timedelta(days=1),
            lambda: NOW,
            lambda: False,
            to_end=True,
        )
        assert store.counters().consumed == MESSAGES
        # Text that is no Unicode is no JSON to the intake: counted, and in no cell.
        assert store.counters().rejected == {Reason.NOT_JSON: unreadable}
        requests = sum(window.requests for window in store.volume(NOW - timedelta(days=2)))
        assert requests == MESSAGES - unreadable
        assert len(store.strata()) == CAP + 1
        cycle = store.begin_cycle(NOW)
        for item in store.pending_prompts(NOW - timedelta(days=1)):
            store.write_result(cycle, success(item.prompt), NOW)
        assert forecast(store, settings, "run", NOW)
        facts = Facts.from_config(settings, version="1", reject_reasons=tuple(Reason), jobs=("estimate",))
        app = build_app(lambda: store.snapshot(NOW), lambda: facts, dict, list)
        with Server(app, "127.0.0.1:0") as server:
            yield {
                kind: httpx.get(f"{server.url}/metrics", headers={"Accept": accept})
                for kind, accept in (
                    ("text", "text/plain"),
                    ("openmetrics", "application/openmetrics-text; version=1.0.0"),
                )
            }


def samples(answer):
    read = openmetrics if "openmetrics" in answer.headers["content-type"] else parser
    families = read.text_string_to_metric_families(answer.content.decode("utf-8"))
    return [sample for family in families for sample in family.samples if sample.name.startswith("riskmon_")]


@pytest.mark.parametrize("kind", ["text", "openmetrics"])
def test_strata_stay_under_the_cap_and_the_rest_is_other(scrape, kind):
    found = samples(scrape[kind])
    by_stratum = [s for s in found if s.name == "riskmon_forecast_daily_requests"]
    cells = [(s.labels["route"], s.labels["model"]) for s in by_stratum]
    assert len(cells) == len(set(cells)) == CAP + 1
    assert (OTHER, OTHER) in cells
    (rest,) = [s.value for s in by_stratum if s.labels["route"] == s.labels["model"] == OTHER]
    assert rest > 0.9 * sum(s.value for s in by_stratum)
    for label in ("route", "model"):
        values = {s.labels[label] for s in found if label in s.labels and s.name != "riskmon_build_info"}
        assert len(values) <= CAP + 1
        assert max(len(value) for value in values) == LONGEST_LABEL


@pytest.mark.parametrize("kind", ["text", "openmetrics"])
def test_no_series_is_there_twice_and_none_was_forged(scrape, kind):
    found = samples(scrape[kind])
    series = [(s.name, tuple(sorted(s.labels.items()))) for s in found]
    assert len(series) == len(set(series))
    assert [s.value for s in found if s.name == "riskmon_store_up"] == [1]


def test_both_formats_say_the_same_and_name_themselves(scrape):
    text, other = scrape["text"], scrape["openmetrics"]
    assert text.headers["content-type"].startswith("text/plain; version=")
    assert other.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert other.content.endswith(b"# EOF\n")
    assert text.headers["vary"] == other.headers["vary"] == "Accept, Accept-Encoding"

    def comparable(answer):
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples(answer)}

    assert comparable(text) == comparable(other)


def test_promtool_reads_it_all(scrape):
    assert lint_metrics(scrape["text"].text) == ""


def test_known_label_values_are_there_from_zero(scrape):
    found = {(s.name, *s.labels.values()): s.value for s in samples(scrape["text"])}
    rejected = {reason for reason in Reason if found["riskmon_prompts_rejected_total", reason]}
    assert rejected == {Reason.NOT_JSON}  # the others are there, with 0
    assert found["riskmon_job_failures_total", "estimate"] == 0
    assert found["riskmon_observed_outputs_total", "misuse"] == 0


# ---- several readers of one store


def follow(lines, folder, name, url, settings):
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(lines) + "\n")
    traffic = settings.traffic.model_copy(update={"jsonl": path})
    with open_store(url) as store:
        since = NOW - timedelta(days=1)
        follow_traffic(open_source(traffic), store, traffic, since, lambda: NOW, lambda: False, to_end=True)


def test_two_readers_at_once_stay_under_the_cap_together_and_count_everything(tmp_path):
    """Each would fill all places with values of its own; afterwards a third one draws the store's line."""
    settings = parse_config(
        {
            "model": {"target": "org/model"},
            "harms": [{"name": "misuse", "judge": {"kind": "regex", "pattern": "x"}}],
            "traffic": {
                "jsonl": "traffic.jsonl",
                "strata": ["route", "model"],
                "max_strata": 12,
                "max_label_values": 5,
                "sample_per_window": 3,
            },
        },
        base=tmp_path,
    )
    url = StoreConfig(url=f"sqlite:///{tmp_path}/risk.db")
    open_store(url).close()

    def lines(name):
        stamp = (NOW - timedelta(minutes=40)).timestamp()
        return [
            json.dumps(
                {
                    "id": f"{name}{i}",
                    "prompt": "text",
                    "timestamp": stamp,
                    "route": f"{name}{i % 7}",
                    "model": f"m{i % 11}",
                }
            )
            for i in range(3_000)
        ]

    readers = [
        threading.Thread(target=follow, args=(lines(name), tmp_path, name, url, settings)) for name in "ab"
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    follow(lines("c"), tmp_path, "c", url, settings)
    with open_store(url) as store:
        kept = store.kept_strata()
        assert len(kept) <= 13
        for label in (0, 1):
            assert len({one.labels[label][1] for one in kept} - {OTHER}) <= 5
        volume = store.volume(NOW - timedelta(days=2))
        assert sum(window.requests for window in volume) == 9_000
        assert {window.stratum for window in volume} == set(kept)
        by_stratum = Counter(item.prompt.stratum for item in store.sampled_prompts(NOW - timedelta(days=2)))
        assert all(by_stratum[window.stratum] == min(3, window.requests) for window in volume)
        assert store.snapshot(NOW).strata.changes["capped"] >= 1
