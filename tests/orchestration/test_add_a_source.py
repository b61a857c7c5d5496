"""The page that adds a source is followed to the letter: its blocks make a working source."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import PROJECT, Dbt, copy_project, make_home, query

from orchestration.home import Home

PAGE = PROJECT / "docs/add-a-source.md"
BLOCK = re.compile(r"^```\w+ (file|line)=(\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LISTS_END = "] -%}"


@dataclass(frozen=True)
class Block:
    """One block of the page: a new file, or lines for a file that is there."""

    kind: str
    path: str
    text: str

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


def blocks() -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


def apply(block: Block, project: Path, home: Home) -> None:
    """What the reader of the page does with it."""
    root = home.root if block.path.startswith("landing/") else project
    path = root / block.path
    if block.kind == "file":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        path.write_text(content + block.text, encoding="utf-8")
        return
    before, end, after = content.rpartition(LISTS_END)
    assert end, f"{block.path} holds no list"
    path.write_text(before + block.text + end + after, encoding="utf-8")


@dataclass(frozen=True)
class Webinar:
    home: Home
    project: Path


@pytest.fixture(scope="module")
def webinar(tmp_path_factory: pytest.TempPathFactory) -> Webinar:
    """A copy of the project with the page's source, its files landed and everything built."""
    folder = tmp_path_factory.mktemp("webinar")
    project = copy_project(folder)
    home = make_home(folder / "home")
    for block in blocks():
        apply(block, project, home)
    Dbt(home, project).build(home, ("+customers", "+interactions", "+identity_map"))
    return Webinar(home, project)


def test_the_page_tells_how_many_files_and_lines_it_took() -> None:
    found = [block for block in blocks() if not block.path.startswith("landing/")]
    new = [block for block in found if block.kind == "file"]
    added = [block for block in found if block.kind == "line"]
    told = re.search(
        r"(\d+) new files of (\d+) lines, and (\d+) lines in (\d+) files",
        PAGE.read_text(encoding="utf-8"),
    )
    assert told is not None
    assert [int(number) for number in told.groups()] == [
        len(new),
        sum(block.lines for block in new),
        sum(block.lines for block in added),
        len({block.path for block in added}),
    ]
    layers = {block.path for block in added if block.path.startswith(("models/", "macros/"))}
    assert len(layers) == 3, "identity, people and touches; nothing downstream"


def test_its_people_are_customers(webinar: Webinar) -> None:
    rows = query(
        webinar.home.warehouse,
        "select email, first_name, last_name, name_source from profile.customers order by 1",
    )
    assert rows == [
        ("joe.webinar@example.com", "Joe", "Bloggs", "webinar"),
        ("mai.webinar@example.com", "Mai", "Trần", "webinar"),
        (None, None, None, None),
    ]


def test_what_they_did_is_on_the_timeline(webinar: Webinar) -> None:
    rows = query(
        webinar.home.warehouse,
        "select channel, activity, feature_json from profile.interactions "
        "inner join profile.customers using (customer_id) "
        "where email = 'mai.webinar@example.com' order by occurred_at",
    )
    assert rows == [
        ("webinar", "webinar_registered", '{"webinar_title":"Lamps of the year"}'),
        ("webinar", "webinar_attended", '{"minutes_attended":45}'),
    ]


def test_its_own_identifier_looks_the_person_up(webinar: Webinar) -> None:
    assert query(
        webinar.home.warehouse,
        "select count(distinct customer_id) from identity.identity_map "
        "where identifier_value in ('A-77', 'mai.webinar@example.com') and is_current",
    ) == [(1,)]


def test_its_bad_row_is_kept_aside(webinar: Webinar) -> None:
    assert query(
        webinar.home.warehouse,
        "select _row, column_name, rule from raw_webinar.registration__rejected",
    ) == [(4, "registered", "type")]
