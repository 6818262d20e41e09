"""The page in a real browser, with a past, with reports, behind a login: no complaint, and no request leaves it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from support.browser import asked_for, load
from support.snapshots import FACTS, FORECASTS, FULL

from riskmon.config.publish import AuthConfig, PublishConfig
from riskmon.publish import Server, build_app

HISTORY = tuple(
    replace(total, made_at=total.made_at - timedelta(hours=hours))
    for hours in range(48, 0, -1)
    for total in (FORECASTS[0], FORECASTS[5])
)
NAME = "report-20260309T060000Z.html"


@pytest.fixture
def app(tmp_path):
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    password.chmod(0o600)
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / NAME).write_text(
        "<!doctype html><title>week</title><style>p{color:green}</style><p style='margin:1em'>a week</p>"
        "<script>document.title = 'ran'</script>"
    )
    config = PublishConfig(
        reports=reports, auth=AuthConfig(kind="basic", username="ops", password_file=password)
    )
    shown = replace(FULL, history=HISTORY)
    return build_app(lambda: shown, lambda: FACTS, lambda: {"intake": True}, list, config)


def inside(server: Server, path: str) -> str:
    return server.url.replace("://", "://ops:s3cret@") + path


def test_it_loads_behind_a_login_without_a_complaint(app):
    with Server(app, "127.0.0.1:0") as server:
        page = load(inside(server, "/"))
    assert page.console == ()
    assert "<polyline" in page.dom
    assert f'href="/reports/{NAME}"' in page.dom


def test_the_page_asks_for_nothing(app):
    with Server(app, "127.0.0.1:0") as server:
        assert asked_for(inside(server, "/")) == []


def test_a_request_that_leaves_would_be_seen():
    """The premise of the test above."""

    def leaky(_):
        return HTMLResponse("<img src='http://127.0.0.1:9/pixel.png'>")

    with Server(Starlette(routes=[Route("/", leaky)]), "127.0.0.1:0") as server:
        assert "http://127.0.0.1:9/pixel.png" in asked_for(server.url)


def test_a_script_in_a_report_does_not_run(app):
    with Server(app, "127.0.0.1:0") as server:
        page = load(inside(server, f"/reports/{NAME}"))
    assert "<title>week</title>" in page.dom
    assert any("script" in line.lower() for line in page.console)  # the browser says that it refused
    assert not any("style" in line.lower() for line in page.console)
