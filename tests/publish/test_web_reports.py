"""Reports over real HTTP: those in the folder are served, and nothing else on the machine can be reached."""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from support.snapshots import FACTS, FULL

from riskmon.config.publish import PublishConfig
from riskmon.errors import ConfigError
from riskmon.publish import Server, build_app
from riskmon.publish.report_files import ReportFolder

NAME = "report-20260309T060000Z"
PAGE = "<!doctype html><style>p{color:green}</style><p>a week</p>"


@pytest.fixture
def folder(tmp_path):
    """A folder of reports, beside a file that must stay out of reach."""
    (tmp_path / "secret.md").write_text("out of reach")
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / f"{NAME}.html").write_text(PAGE)
    (reports / f"{NAME}.md").write_text("# a wéek", encoding="utf-8")
    (reports / f"{NAME}.json").write_text('{"week": 10}')
    return reports


@pytest.fixture
def server(folder) -> Iterator[Server]:
    app = build_app(
        lambda: FULL, lambda: FACTS, lambda: {"intake": True}, list, PublishConfig(reports=folder)
    )
    with Server(app, "127.0.0.1:0") as running:
        yield running


def raw(server: Server, target: str) -> tuple[int, bytes]:
    """Status and body of GET with a request target that no well-behaved client would send."""
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_each_format_is_served_as_what_it_is(server):
    html = httpx.get(f"{server.url}/reports/{NAME}.html")
    assert (html.status_code, html.text) == (200, PAGE)
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    markdown = httpx.get(f"{server.url}/reports/{NAME}.md")
    assert (markdown.text, markdown.headers["content-type"]) == ("# a wéek", "text/plain; charset=utf-8")
    assert httpx.get(f"{server.url}/reports/{NAME}.json").json() == {"week": 10}


def test_a_report_runs_nothing(server):
    headers = httpx.get(f"{server.url}/reports/{NAME}.html").headers
    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert not [rule for rule in policy if rule.startswith("script-src")]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_reports_are_read_only(server):
    address = f"{server.url}/reports/{NAME}.json"
    head = httpx.head(address)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "12")
    assert httpx.post(address).status_code == 405
    assert httpx.delete(address).status_code == 405


def test_a_large_report_arrives_whole(server, folder):
    content = os.urandom(1_000_003).hex()
    (folder / "large.md").write_text(content)
    assert httpx.get(f"{server.url}/reports/large.md").text == content


def test_the_page_links_to_them_and_the_links_lead_there(server):
    page = httpx.get(server.url).text
    for ending in ("html", "md", "json"):
        assert f'href="/reports/{NAME}.{ending}"' in page
        assert httpx.get(f"{server.url}/reports/{NAME}.{ending}").status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "/reports/../secret.md",
        "/reports/..%2fsecret.md",
        "/reports/%2e%2e/secret.md",
        "/reports/%2e%2e%2fsecret.md",
        "/reports/..%5csecret.md",
        "/reports/....//secret.md",
        "/reports//etc/passwd",
        "/reports/%2fetc%2fpasswd",
        "/reports/",
        "/reports",
        "/reports/.",
        "/reports/..",
        "/reports/%00.md",
        f"/reports/{NAME}.html%00.md",
        f"/reports/{NAME}.html/",
        f"/reports/{NAME}.html%0a",
        f"/reports/{NAME}",
        "/reports/.hidden.md",
        "/reports/link.md",
        "/reports/chain/secret.md",
        "/reports/folder.md",
        "/reports/pipe.md",
        "/reports/notes.txt",
        "/reports/missing.html",
    ],
)
def test_nothing_else_can_be_reached(server, folder, target):
    (folder / "link.md").symlink_to(folder.parent / "secret.md")
    (folder / "chain").symlink_to(folder.parent)
    (folder / "folder.md").mkdir()
    (folder / ".hidden.md").write_text("out of reach")
    (folder / "notes.txt").write_text("out of reach")
    os.mkfifo(folder / "pipe.md")
    status, body = raw(server, target)
    assert status == 404
    assert b"out of reach" not in body


def test_without_a_folder_there_are_no_reports():
    with Server(build_app(lambda: FULL, lambda: FACTS, dict, list), "127.0.0.1:0") as server:
        assert httpx.get(f"{server.url}/reports/{NAME}.html").status_code == 404


# ---- the listing


def test_the_newest_comes_first_by_name_and_else_by_change(folder):
    (folder / "report-20260310T060000Z.md").write_text("newer")
    note = folder / "note.html"
    note.write_text("of old")
    os.utime(note, (0, datetime(2026, 3, 9, 7, tzinfo=UTC).timestamp()))
    (folder / "report-99999999T999999Z.md").write_text("no date")
    os.utime(folder / "report-99999999T999999Z.md", (0, 0))
    (folder / "link.md").symlink_to(folder / "note.html")
    (folder / "notes.txt").write_text("no report")
    found = ReportFolder(folder).newest()
    assert [(report.title, report.made_at) for report in found] == [
        ("report-20260310T060000Z", datetime(2026, 3, 10, 6, tzinfo=UTC)),
        ("note", datetime(2026, 3, 9, 7, tzinfo=UTC)),
        (NAME, datetime(2026, 3, 9, 6, tzinfo=UTC)),
        ("report-99999999T999999Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ]
    assert found[2].names == (f"{NAME}.html", f"{NAME}.json", f"{NAME}.md")


def test_a_folder_that_is_not_there_yet_is_empty(tmp_path):
    reports = ReportFolder(tmp_path / "later")
    assert reports.newest() == []
    assert reports.open("a.md") is None
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.md").write_text("now")
    assert [report.title for report in reports.newest()] == ["a"]


def test_a_path_that_is_no_folder_is_the_users_to_fix(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^publish\.reports .*/file is not a folder; give the one"):
        build_app(lambda: FULL, lambda: FACTS, dict, list, PublishConfig(reports=tmp_path / "file"))
