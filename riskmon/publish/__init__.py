"""Publish: metrics, health checks, the landing page and the JSON API, all from one `Snapshot`.

`build_app(snapshot, facts, alive, ready, config)` makes the application and `Server(app, listen, tls=..., auth=...)`
serves it in a thread.
Names of metrics are in `names/`, which dashboards and rules share.
"""

from riskmon.publish.facts import ConfigState, Facts, HarmFacts
from riskmon.publish.server import Server
from riskmon.publish.web import build_app, build_role_app

__all__ = ["ConfigState", "Facts", "HarmFacts", "Server", "build_app", "build_role_app"]
