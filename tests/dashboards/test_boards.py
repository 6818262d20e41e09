"""The dashboards: up to date, spelled from the metric names, and complete."""

import re

import pytest
from support.boards import BOARDS, ROOT, annotations, panels, read, targets, variables

from dashboards import build, queries
from dashboards.links import Docs
from dashboards.strata import Strata
from riskmon.publish import names

COMMAND = "python -m dashboards.build"

# Metrics that no panel shows, and why.
LEFT_OUT: dict[str, str] = {
    "riskmon_kafka_readers": "tells only where several processes read; those that fail show in the lag and the check",
    "riskmon_role_info": "a label to join with, for queries of one's own",
}

every_board = pytest.mark.parametrize("uid", BOARDS)


def texts(uid: str) -> list[str]:
    """Everything in a dashboard that Prometheus is asked."""
    board = read(uid)
    return [
        *(target["expr"] for target in targets(board)),
        *annotations(board),
        *(variable["query"] for variable in variables(board).values()),
    ]


def test_building_again_gives_the_committed_files(tmp_path):
    build.main(["--out", str(tmp_path)])
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("dashboards/*.json")}
    assert set(made) == {f"{uid}.json" for uid in BOARDS}
    assert made == kept, f"run: {COMMAND}"


@every_board
def test_a_dashboard_has_a_lasting_address(uid):
    assert read(uid)["uid"] == uid


@every_board
def test_every_metric_that_is_asked_for_is_declared(uid):
    declared = {metric.name for metric in names.ALL}
    asked = {name for text in texts(uid) for name in re.findall(r"riskmon_\w+", text)}
    assert asked <= declared
    assert len(asked) > 10


def test_every_metric_is_shown_somewhere():
    shown = {name for uid in BOARDS for text in texts(uid) for name in re.findall(r"riskmon_\w+", text)}
    assert {metric.name for metric in names.ALL} - shown == set(LEFT_OUT)


@every_board
def test_every_panel_says_what_it_shows_and_why_it_may_be_empty(uid):
    for panel in panels(read(uid)):
        assert panel["title"]
        assert len(panel["description"]) > 30, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["fieldConfig"]["defaults"]["noValue"]) > 10, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@every_board
def test_no_two_panels_of_a_dashboard_answer_the_same_question(uid):
    titles = [panel["title"] for panel in read(uid)["panels"]]
    assert len(set(titles)) == len(titles)


@every_board
def test_panels_fill_the_grid_without_overlapping(uid):
    taken: set[tuple[int, int]] = set()
    board = read(uid)
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    height = max(y for _, y in taken) + 1
    assert len(taken) == 24 * height
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@every_board
def test_every_variable_that_is_used_is_offered(uid):
    offered = set(variables(read(uid)))
    used = {name for text in texts(uid) for name in re.findall(r"\$\{?(\w+)", text)}
    assert used - {"__rate_interval", "__range"} <= offered
    assert offered == {"datasource", "job", "instance", "harm"} | (
        {"stratum"} if "overview" in uid else set()
    )


def test_the_rows_of_the_overview_follow_the_questions_of_the_person_on_call():
    rows = [panel for panel in read("riskmon-overview")["panels"] if panel["type"] == "row"]
    asked = [row["title"].removesuffix(" $harm") for row in rows]
    assert asked == ["Is it bad?", "Is it bad?", "What drives it?", "Can I trust it?"]
    assert [row.get("repeat") for row in rows] == [None, "harm", "harm", None]


@every_board
def test_a_dashboard_leads_to_the_others_and_to_the_documents(uid):
    others, docs = read(uid)["links"]
    assert others["type"] == "dashboards"
    assert set(others["tags"]) <= set(read(uid)["tags"])
    assert (others["keepTime"], others["includeVars"]) == (True, True)
    assert docs["url"] == f"{Docs().url}/runbooks/README.md"


def runbooks(uid: str) -> set[str]:
    """Names of the alerts whose runbooks a dashboard's panels lead to."""
    urls = [link["url"] for panel in panels(read(uid)) for link in panel.get("links") or []]
    return {url.removeprefix(f"{Docs().url}/runbooks/").removesuffix(".md") for url in urls}


@every_board
def test_panels_lead_to_runbooks(uid):
    assert runbooks(uid)
    assert all(re.fullmatch(r"Riskmon[A-Za-z]+", alert) for alert in runbooks(uid))
    written = {path.stem for path in ROOT.glob("docs/runbooks/Riskmon*.md")}
    assert runbooks(uid) <= written


def test_docs_are_where_the_builder_is_told():
    made = build.render(Strata(), Docs("https://wiki.example.org/riskmon"))
    assert (
        "https://wiki.example.org/riskmon/runbooks/RiskmonForecastOverBudget.md"
        in made["riskmon-overview.json"]
    )
    assert all(Docs().url not in text for text in made.values())


def test_named_strata_have_a_variable_each(tmp_path):
    build.main(["--strata", "route, model", "--out", str(tmp_path)])
    offered = variables(read("riskmon-overview", tmp_path))
    assert set(offered) == {"datasource", "job", "instance", "harm", "route", "model"}
    assert offered["route"]["query"].endswith(", route)")
    assert set(variables(read("riskmon-pipeline", tmp_path))) == {"datasource", "job", "instance", "harm"}


@pytest.mark.parametrize("label", ["attributes.route", "job", "harm", ""])
def test_a_label_that_no_stratum_can_have_is_refused(label, capsys):
    with pytest.raises(SystemExit):
        build.main(["--strata", label])
    assert "give the last parts of traffic.strata" in capsys.readouterr().err


def test_metrics_that_are_not_riskmons_are_those_of_the_client_library_and_of_prometheus():
    own = [value for value in vars(queries).values() if isinstance(value, queries.Metric)]
    assert {metric.name.split("_")[0] for metric in own} == {"up", "scrape", "process"}
