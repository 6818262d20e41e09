"""The daemon reports after the first cycle of a target, its page lists that, and a restart writes no second report."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support.daemon import running, write_config
from support.http_sink import sink

FAILED = 'riskmon_job_failures_total{task="report-webhook"}'


def write_traffic(folder):
    now = datetime.now(UTC)
    lines = [
        {
            "id": f"r{i}",
            "prompt": ["ask red or blue", "good calm red", "red and blue"][i % 3],
            "timestamp": (now - timedelta(minutes=i)).timestamp(),
            "attributes": {"route": "chat" if i % 2 else "code"},
        }
        for i in range(120)
    ]
    (folder / "traffic.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.mark.slow
def test_a_release_is_reported_on_once(world, tmp_path):
    write_traffic(tmp_path)
    reports = tmp_path / "reports"
    with sink(500) as seen:
        config = write_config(
            tmp_path,
            world.target,
            traffic={"jsonl": "traffic.jsonl", "strata": ["attributes.route"], "sample_per_window": 2},
            publish={"listen": "127.0.0.1:0", "reports": "reports"},
            report={"schedule": None, "webhook": {"url": seen.url, "retries": 0, "secret": "hush"}},
        )
        with running(config) as daemon:
            daemon.wait_until(
                lambda: daemon.metric(FAILED) == 1, "the report is written and the post has failed"
            )
            (file,) = reports.glob("report-*.json")
            document = json.loads(file.read_text())
            assert document["cause"] == "release"
            assert document["harms"][0]["total"]["expected"] > 0
            assert document["cycles"][0]["complete"]
            name = file.stem
            assert f'href="/reports/{name}.html"' in daemon.get("/").text
            assert "Deployment report" in daemon.get(f"/reports/{name}.html").text
            assert seen.requests[0][1]["authorization"] == "hush"
            assert seen.requests[0][2]["name"] == name
            assert daemon.end() == 0
            assert "did not take the report (status 500)" in daemon.log
            assert "hush" not in daemon.log
            assert "ask red" not in daemon.log
            assert not [part for part in reports.iterdir() if "ask red" in part.read_text()]

        with running(config) as daemon:
            daemon.wait_until(lambda: daemon.get("/readyz").status_code == 200, "it is ready again")
            assert daemon.metric('riskmon_job_failures_total{task="report"}') == 0
            assert daemon.end() == 0
    assert len(list(reports.glob("report-*.json"))) == 1
