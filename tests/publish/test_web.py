import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPENMETRICS = "application/openmetrics-text"
PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def test_metrics_are_prometheus_text_by_default(client):
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {family.name for family in parse_text(answer.text)}
    assert {"riskmon_forecast_total_daily_harmful_outputs", "process_cpu_seconds"} <= found


@pytest.mark.parametrize("accept", [OPENMETRICS, f"{OPENMETRICS};version=1.0.0", PROMETHEUS_2_42])
def test_openmetrics_is_served_to_those_who_ask(client, accept):
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(f"{OPENMETRICS}; version=1.0.0; charset=utf-8")
    families = {family.name: family for family in parse_openmetrics(answer.text)}
    total = families["riskmon_forecast_total_daily_harmful_outputs"]
    assert {sample.labels["harm"]: sample.value for sample in total.samples} == {
        "misuse": 27.4,
        "insult": 318,
    }
    assert families["riskmon_estimate_device_seconds"].unit == "seconds"
    assert families["riskmon_estimate_device_seconds"].type == "counter"


@pytest.mark.parametrize(
    "accept", [f"{OPENMETRICS};version=abc", "text/plain;version=;", "garbage;;=", "text/html"]
)
def test_a_senseless_accept_header_gets_text(client, accept):
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


def test_answers_are_compressed_for_those_who_accept_it(client):
    assert client.get("/metrics", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"
    plain = client.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_healthz_names_the_loop_that_died(client, process):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive", "loops": ["intake", "scheduler"]})
    process.alive["intake"] = False
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"status": "dead", "dead": ["intake"]})
    assert client.get("/readyz").status_code == 200


def test_readyz_gives_the_reasons(client, process):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    process.reasons.append("the broker kafka:9092 does not answer")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "reasons": ["the broker kafka:9092 does not answer"]}
    assert client.get("/healthz").status_code == 200


def test_a_store_that_is_down_breaks_neither_scrape_nor_health(client, process):
    process.shown = None
    metrics = client.get("/metrics")
    assert metrics.status_code == 200
    assert "riskmon_store_up 0.0" in metrics.text
    assert "riskmon_forecast_total_daily_harmful_outputs" not in metrics.text
    assert "process_cpu_seconds_total" in metrics.text
    landing = client.get("/")
    assert landing.status_code == 503
    assert "The store cannot be read" in landing.text
    assert client.get("/healthz").status_code == 200


def test_the_landing_page_is_html(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "expected harmful outputs in the next 24 h" in answer.text


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/metrics/x", "/page.css"])
def test_any_other_path_is_a_plain_404(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (404, "Not Found")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz"])
def test_head_has_the_headers_of_get_and_no_body(client, path):
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert client.post(path).status_code == 405


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/nothing"])
def test_every_answer_carries_the_security_headers(client, path):
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
