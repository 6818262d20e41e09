"""What a process that publishes nothing serves: its probes, and no series that another process has as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from support.snapshots import FACTS, FULL

from riskmon.config.publish import AuthConfig, PublishConfig
from riskmon.publish import build_app, build_role_app
from riskmon.records import Role

AT = FULL.taken_at


def client(
    role: Role, written_at: Callable[[], datetime] | None = None, config: PublishConfig | None = None
) -> TestClient:
    facts = replace(FACTS, role=role)
    return TestClient(
        build_role_app(
            lambda: facts,
            written_at,
            lambda: {"intake": True},
            lambda: ["no broker"],
            config or PublishConfig(),
        )
    )


def series(of: TestClient) -> dict[str, float]:
    text = of.get("/metrics").text
    return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}


def test_it_tells_what_is_its_own() -> None:
    shown = series(client(Role.INTAKE, lambda: AT))
    assert {name for name in shown if name.startswith("riskmon_")} == {
        "riskmon_build_info",
        "riskmon_role_info",
        "riskmon_config_last_reload_successful",
        "riskmon_config_last_reload_success_timestamp_seconds",
        "riskmon_store_last_write_timestamp_seconds",
    }
    assert shown["riskmon_store_last_write_timestamp_seconds"] == AT.timestamp()
    assert shown["process_resident_memory_bytes"] > 0
    assert 'riskmon_role_info{role="intake"} 1.0' in client(Role.INTAKE, lambda: AT).get("/metrics").text


def test_one_that_rests_between_its_writes_does_not_say_when_it_wrote() -> None:
    assert "riskmon_store_last_write_timestamp_seconds" not in series(client(Role.ESTIMATE))


def test_nothing_of_it_adds_up_with_what_the_publisher_shows() -> None:
    """Whatever is summed over instances comes from one process alone."""
    publisher = TestClient(build_app(lambda: FULL, lambda: FACTS, dict, list))
    both = set(series(client(Role.INTAKE, lambda: AT))) & set(series(publisher))
    assert not {name for name in both if name.startswith("riskmon_") and name.endswith("_total")}
    assert {name for name in both if name.startswith("riskmon_kafka")} == set()


def test_probes_answer_and_there_is_no_page_and_no_api() -> None:
    asked = client(Role.ESTIMATE)
    assert asked.get("/healthz").json() == {"status": "alive", "loops": ["intake"]}
    assert asked.get("/readyz").status_code == 503
    assert asked.get("/readyz").json()["reasons"] == ["no broker"]
    assert [asked.get(path).status_code for path in ("/", "/api/v1/forecast", "/reports/x")] == [404] * 3
    assert asked.get("/metrics").headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("path", "status"), [("/metrics", 401), ("/healthz", 200)])
def test_it_asks_for_the_same_login(tmp_path, path: str, status: int) -> None:
    secret = tmp_path / "token"
    secret.write_text("correct-horse-battery-staple-0123\n")
    secret.chmod(0o600)
    config = PublishConfig(auth=AuthConfig(kind="bearer", token_file=secret))
    assert client(Role.INTAKE, None, config).get(path).status_code == status
