"""Links lead somewhere, names exist, and nothing betrays the machine it was written on."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from riskmon.config import Config
from riskmon.config_reference.fields import sections_in
from riskmon.errors import PromptFailed, WorkerLost
from riskmon.publish import names
from riskmon.records import Flag
from riskmon.traffic.decode import Reason

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("dashboards/*.md"),
        *ROOT.glob("deploy/**/*.md"),
    ]
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")

page = pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text_of(path), flags=re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_pages_are_there():
    found = {str(path.relative_to(ROOT)) for path in PAGES}
    docs = {
        f"docs/{name}.md" for name in ("method", "configuration", "operations", "architecture", "metrics")
    }
    assert found >= docs | {"README.md", "CHANGELOG.md", "dashboards/README.md"}


@page
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(text_of(page)):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(path), f"{path.name} has no heading for #{anchor}"


@page
def test_every_metric_named_is_declared(page):
    declared = {metric.name for metric in names.ALL}
    for found in re.findall(r"(?<![\w:])riskmon_[a-z0-9_]+\*?(?!:)", text_of(page)):
        prefix = found.rstrip("*")
        known = (
            any(name.startswith(prefix) for name in declared) if found.endswith("*") else found in declared
        )
        assert known, found


# The chart's page names values of the chart, which its own tests hold against its schema.
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name != "riskmon"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_key_named_exists(page):
    """As `section.key` in the text, or as RISKMON_SECTION__KEY."""
    keys = config_keys()
    named = re.findall(r"`((?:[a-z_]+(?:\[\])?\.)+[a-z_]+)(?:: [^`]*)?`", text_of(page))
    named = [key for key in named if key.partition(".")[0].removesuffix("[]") in Config.model_fields]
    named += [
        key.lower().replace("__", ".") for key in re.findall(r"\bRISKMON_([A-Z_]+__[A-Z_]+)", text_of(page))
    ]
    assert [key for key in named if key.replace("[]", "") not in keys] == []


def test_the_page_on_operations_names_keys():
    assert "`logging.level: debug`" in text_of(ROOT / "docs" / "operations.md")
    assert {"logging.level", "traffic.kafka.topic", "harms.budget_daily", "experts.ladder"} <= config_keys()
    assert "logging.colour" not in config_keys()


def config_keys() -> set[str]:
    """Every key of the configuration by its path."""
    found: set[str] = set()
    queue: list[tuple[str, type[BaseModel]]] = [("", Config)]
    while queue:
        path, section = queue.pop()
        for name, field in section.model_fields.items():
            found.add(path + name)
            if path.count(".") < 4:  # a cascade may hold cascades
                queue += [(f"{path}{name}.", inner) for inner in sections_in(field.annotation)]
    return found


@page
def test_every_file_named_exists(page):
    for found in re.findall(r"`((?:riskmon|docs|deploy|dashboards)/[\w./-]+)`", text_of(page)):
        assert (ROOT / found).exists(), found


def test_every_flag_is_explained():
    explained = text_of(ROOT / "docs" / "method.md")
    assert [flag for flag in Flag if f"| `{flag}` |" not in explained] == []


def test_every_reason_is_explained():
    explained = text_of(ROOT / "docs" / "operations.md")
    failures = [kind.reason for kind in PromptFailed.__subclasses__()] + [WorkerLost.reason]
    assert [reason for reason in Reason if f"| `{reason}` |" not in explained] == []
    assert [reason for reason in failures if f"`{reason}`" not in explained] == []


def test_the_readme_is_short():
    assert len(text_of(ROOT / "README.md").splitlines()) < 90


def test_the_changelog_keeps_its_form():
    headings = re.findall(r"^#{2,3} .*$", text_of(ROOT / "CHANGELOG.md"), flags=re.M)
    assert headings[:2] == ["## [Unreleased]", "### Added"]


# ---- no trace of the machine

PATH_OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/")


def kept_files() -> Iterator[Path]:
    """Text files that are or will be in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in path.read_bytes()[:8192]:
            yield path


def test_no_file_holds_a_path_of_the_machine_it_was_written_on():
    assert PATH_OF_A_MACHINE.search("see /" + "work/main/riskmon")
    assert not PATH_OF_A_MACHINE.search("https://example.org/work/main, paper/root/x")
    found = [str(path.relative_to(ROOT)) for path in kept_files() if PATH_OF_A_MACHINE.search(text_of(path))]
    assert found == []
