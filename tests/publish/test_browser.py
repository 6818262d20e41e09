"""The page as a real browser sees it: it renders, its own policy does not break it, and labels stay text."""

from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from support.browser import load
from support.snapshots import EMPTY, FACTS, FULL

from riskmon.publish import Server, build_app
from riskmon.records import Stratum

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


def shown(snapshot):
    app = build_app(lambda: snapshot, lambda: FACTS, lambda: {"intake": True}, list)
    with Server(app, "127.0.0.1:0") as server:
        return load(f"{server.url}/")


@pytest.mark.parametrize("snapshot", [FULL, EMPTY], ids=["full", "empty"])
def test_it_loads_without_a_complaint(snapshot):
    page = shown(snapshot)
    assert page.console == ()
    assert "riskmon" in page.dom


def test_the_figures_are_there():
    dom = shown(FULL).dom
    assert "27.4" in dom
    assert "Over budget" in dom


def test_a_hostile_label_stays_text():
    labels = (
        FULL.forecasts[1].stratum.labels if FULL.forecasts[1].stratum else FULL.forecasts[0].stratum.labels
    )
    stratum = Stratum(((labels[0][0], HOSTILE), *labels[1:]))
    forecasts = tuple(replace(f, stratum=stratum) if f.stratum is not None else f for f in FULL.forecasts)
    page = shown(replace(FULL, forecasts=forecasts))
    assert "&lt;script&gt;" in page.dom
    assert "<script" not in page.dom
    assert "<img" not in page.dom
    assert page.console == ()


def test_a_broken_policy_would_be_seen():
    """The premise of the tests above: this browser does complain where a style does not fit the policy."""

    def wrong(_):
        return HTMLResponse(
            "<style>p{color:red}</style><p>x", headers={"Content-Security-Policy": "default-src 'none'"}
        )

    with Server(Starlette(routes=[Route("/", wrong)]), "127.0.0.1:0") as server:
        assert any("Content Security Policy" in line for line in load(f"{server.url}/").console)
