"""Files are loaded once, whole, in any order, and never lost."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_landing_support import (
    AS_OF,
    SOURCES,
    Company,
    age,
    csv_text,
    landing_company,  # noqa: F401
    order,
    write_project,
)

from orchestration.errors import CdpError
from orchestration.home import PROJECT
from orchestration.landing import LandingReport, land, load_declarations, pending_files
from orchestration.landing import load as loading
from orchestration.landing.files import Stamp
from orchestration.warehouse.duckdb import DuckDbWarehouse


def statuses(report: LandingReport, table: str = "order") -> dict[str, str]:
    return {file.file: file.status for file in report.of("shop", table).files}


# Once, and whole ------------------------------------------------------------------------------


def test_declared_tables_exist_without_files_and_the_salt_is_made_once(company: Company) -> None:
    assert company.land().landed == 0
    assert company.current() == [] and company.rejected("line") == []
    [(salt,)] = company.rows("select salt from raw_cdp.installation")
    assert len(salt) == 64
    company.land()
    assert company.rows("select salt from raw_cdp.installation") == [(salt,)]


def test_rows_carry_where_they_came_from(company: Company) -> None:
    company.put("a.csv", csv_text(order(1, currency="TWD"), order(2)))
    company.land()
    rows = company.rows(
        "select _file, _row, _load_id, _extra, _landed_as_of, length(_content_hash), "
        'is_test, due::varchar, weight from raw_shop."order" order by _row'
    )
    assert rows == [
        ("order/a.csv", 1, 1, None, AS_OF, 32, False, "2026-10-01", 1.5),
        ("order/a.csv", 2, 1, None, AS_OF, 32, False, "2026-10-01", 1.5),
    ]
    [(file, archived, size)] = company.rows(
        "select file, archived_as, size_bytes from raw_landing.loads"
    )
    kept = company.home.archive / archived
    assert file == "order/a.csv" and kept.stat().st_size == size
    assert kept.name.endswith("-a.csv") and len(kept.name.split("-")[0]) == 12
    assert pending_files(company.home) == []


def test_equal_rows_have_equal_hashes_however_they_are_written(company: Company) -> None:
    company.put("a.csv", csv_text(order(1, updated_at="2026-09-01T12:00:00.000+02:00")))
    company.put("b.csv", csv_text(order(1, total="12.5", pieces="2.0", is_test="No")))
    company.put(
        "c.jsonl",
        '{"id":"o1","email":"person1@example.com","currency":"GBP","status":"paid","total":12.50,'
        '"pieces":2,"weight":1.5,"is_test":false,"due":"2026-10-01","props":null,'
        '"updated_at":"2026-09-01T10:00Z","birthday":"1990-05-05"}\n',
    )
    report = company.land()
    assert company.rows('select count(distinct _content_hash) from raw_shop."order"') == [(1,)]
    assert (report.landed, report.loaded, report.duplicate) == (3, 1, 2)
    company.reconcile()


TIMES = {
    "2026-09-01": "2026-09-01 00:00:00",
    "2026-09-01 10:00:00": "2026-09-01 10:00:00",
    "2026-09-01T10:00:00": "2026-09-01 10:00:00",
    "2026-09-01T10:00:00Z": "2026-09-01 10:00:00",
    "2026-09-01t10:00:00.5z": "2026-09-01 10:00:00.5",
    "2026-09-01T10:00:00.123456789Z": "2026-09-01 10:00:00.123456",
    "2026-09-01T10:00:00+07:00": "2026-09-01 03:00:00",
    "2026-09-01T10:00:00-0330": "2026-09-01 13:30:00",
    "2026-09-01 10:00:00 +02:00": "2026-09-01 08:00:00",
    "2026-09-01 10:00:00 UTC": "2026-09-01 10:00:00",
    "2026-09-01T10:00+02": "2026-09-01 08:00:00",
    "2026-09-01T10:00": "2026-09-01 10:00:00",
}


def test_times_are_read_with_their_offset_and_stored_in_utc(company: Company) -> None:
    company.put("a.csv", csv_text(*[order(1, updated_at=text) for text in TIMES]))
    assert company.land().rejected == 0
    found = company.current(columns="_row, updated_at::varchar")
    assert [text for _, text in found] == list(TIMES.values())


def test_unknown_columns_are_kept_aside_and_reported(company: Company) -> None:
    company.put("a.csv", "id,total,updated_at,colour\no1,5,2026-01-01,red\no2,5,2026-01-01,\n")
    report = company.land()
    assert report.of("shop", "order").unknown_columns == ["colour"]
    assert company.current(columns="id, _extra") == [("o1", '{"colour":"red"}'), ("o2", None)]


def test_a_name_of_a_column_that_is_a_persons_value_is_not_repeated(company: Company) -> None:
    """A file without its header, or with a person pasted into it, told the report who it was."""
    company.put("a.csv", "id,total,updated_at,ann@x.example,0912 345 678\no1,5,2026-01-01,red,\n")
    report = company.land()
    assert report.of("shop", "order").unknown_columns == ["[address]", "[number]"]
    assert company.current(columns="_extra") == [('{"ann@x.example":"red"}',)]
    company.put("b.csv", "id,total,updated_at,ann@x.example,ann@x.example\no1,5,2026-01-01,,\n")
    assert [refused.text for refused in company.land().refused] == [
        "shop/order/b.csv: the header names [address] more than once [duplicate_column]"
    ]


def test_text_is_stored_in_nfc(company: Company) -> None:
    name = "Zoë Nguyễn"
    company.put("a.csv", csv_text(order(1, email=unicodedata.normalize("NFD", name))))
    line = '{"id":"o2","total":1,"updated_at":"2026-01-01","email":"%s"}\n'
    company.put("b.jsonl", line % unicodedata.normalize("NFD", name))
    table = pa.table(
        {
            "id": ["o3"],
            "total": [1],
            "updated_at": ["2026-01-01"],
            "email": [unicodedata.normalize("NFD", name)],
        }
    )
    pq.write_table(table, company.put("c.parquet", b""))
    company.land()
    assert {row[0] for row in company.current(columns="email")} == {
        unicodedata.normalize("NFC", name)
    }


def test_a_column_declared_later_is_added(company: Company, tmp_path: Path) -> None:
    company.put("a.csv", csv_text(order(1)))
    company.land()
    wider = SOURCES.replace(
        "          - {name: refunded,",
        "          - {name: channel, data_type: string}\n          - {name: refunded,",
    )
    before = company.rows('select _content_hash from raw_shop."order"')
    company.declarations = load_declarations(write_project(tmp_path / "wider", wider))
    company.put("b.csv", "id,total,updated_at,channel\no2,1,2026-01-01,web\n")
    company.put("c.csv", csv_text(order(1)).replace("\n", "\r\n"))
    report = company.land()
    assert company.current(columns="id, channel")[-1] == ("o2", "web")
    assert report.duplicate == 1, "a column that is null does not change a row's hash"
    assert len(before) == 1
    company.reconcile()


# Duplicates and changes -----------------------------------------------------------------------


def test_the_same_content_under_another_name_or_again(company: Company) -> None:
    text = csv_text(order(1), order(2), order(3, pieces="x"))
    company.put("a.csv", text)
    assert (company.land().landed, company.land().landed) == (3, 0)
    company.put("a.csv", text)
    company.put("b.csv", text)
    report = company.land()
    assert statuses(report) == {"order/a.csv": "duplicate", "order/b.csv": "duplicate"}
    assert (report.landed, report.duplicate, report.loaded) == (6, 6, 0)
    assert company.current() == [("o1",), ("o2",)]
    assert set(company.archived()) == {"a.csv", "b.csv"}
    company.reconcile()


def test_equal_files_in_one_landing(company: Company) -> None:
    text = csv_text(order(1), order(2, total="-1"))
    company.put("a.csv", text)
    company.put("b.csv", text)
    report = company.land()
    assert statuses(report) == {"order/a.csv": "loaded", "order/b.csv": "duplicate"}
    assert (report.landed, report.loaded, report.rejected, report.duplicate) == (4, 1, 1, 2)
    company.reconcile()


def test_a_file_that_changed_is_a_new_load_of_it(company: Company) -> None:
    company.put("a.csv", csv_text(order(1), order(2)))
    company.land()
    company.put("a.csv", csv_text(order(1), order(3)))
    report = company.land()
    [file] = report.of("shop", "order").files
    assert "the file changed" in (file.message or "") and file.loaded == 2
    assert company.current() == [("o1",), ("o3",)]
    assert company.rows('select count(*) from raw_shop."order"') == [(4,)], "raw is append-only"
    assert len(list(company.home.archive.rglob("*-a.csv"))) == 2
    company.put("a.csv", csv_text(order(1), order(2)))
    company.land()
    assert company.current() == [("o1",), ("o2",)], "and back again"
    company.reconcile()


def test_when_one_of_two_equal_files_changes_the_other_keeps_its_rows(company: Company) -> None:
    company.put("a.csv", csv_text(order(1)))
    company.put("b.csv", csv_text(order(1)))
    company.land()
    company.put("a.csv", csv_text(order(2)))
    company.land()
    assert company.current() == [("o1",), ("o2",)]


def test_repeated_rows_are_counted_and_kept(company: Company) -> None:
    company.put("a.csv", csv_text(order(1), order(2), order(1)))
    company.land()
    company.put("b.csv", csv_text(order(2), order(3), order(2, status="open")))
    report = company.land()
    assert (report.landed, report.loaded, report.duplicate) == (3, 2, 1)
    counts = company.rows(
        "select loaded_count, duplicate_count from raw_landing.loads order by load_id"
    )
    assert counts == [(2, 1), (2, 1)]
    assert len(company.current()) == 6
    company.reconcile()


def test_equal_rows_of_a_table_without_a_key_are_rows_of_their_own(company: Company) -> None:
    company.put("a.csv", "sku,pieces\nx,1\nx,1\n", table="line")
    report = company.land()
    assert (report.loaded, report.duplicate) == (2, 0)
    assert company.current("line", "_row") == [(1,), (2,)]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_batching_gives_the_same_current_rows(
    company: Company, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    lines = [order(number, total=str(number % 7)) for number in range(60)]
    contents = {f"f{n}.csv": csv_text(*dice.sample(lines, 8)) for n in range(8)}
    contents["f8.csv"] = contents["f3.csv"]
    answers = set()
    for attempt in range(2):
        if attempt:
            company.home = type(company.home)(tmp_path / "again").ensure()
        names = list(contents)
        dice.shuffle(names)
        while names:
            for name in [names.pop() for _ in range(min(len(names), dice.randint(1, 4)))]:
                company.put(name, contents[name])
            company.land()
        company.reconcile()
        answers.add(tuple(company.current(columns="id, _content_hash")))
    assert len(answers) == 1


# Still being written, and dying midway --------------------------------------------------------


def test_unfinished_names_are_left_alone(company: Company) -> None:
    for name in (".hidden.csv", "_done.csv", "a.csv.part", "b.tmp", "c.crdownload", "d.filepart"):
        company.put(name, csv_text(order(1)))
    report = company.land()
    assert report.landed == 0 and report.ignored == [] and pending_files(company.home) == []


def test_a_file_still_being_written_is_left_until_whole(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDP_QUIET_SECONDS", "0.4")
    age(company.put("a.csv", csv_text(order(1))), 60)
    growing = company.put("b.csv", csv_text(order(2)))
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.05):
            with growing.open("a") as file:
                file.write(order(3) + "\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        report = company.land()
    finally:
        stop.set()
        writer.join()
    assert statuses(report) == {"order/a.csv": "loaded", "order/b.csv": "waiting"}
    assert "still being written" in report.of("shop", "order").files[0].text + str(report.as_dict())
    assert company.current() == [("o1",)] and growing.exists()
    whole = growing.read_bytes()
    assert company.land().landed == whole.count(b"\n") - 1
    assert company.archived()["b.csv"] == whole


def test_a_file_that_changes_while_it_is_read_is_left_and_the_rest_lands(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.put("a.csv", csv_text(order(1)))
    growing = company.put("b.csv", csv_text(order(2)))
    company.put("c.csv", csv_text(order(3)))
    honest = loading.read

    def read(path: Path, *rest: object) -> object:
        yield from honest(path, *rest)  # type: ignore[arg-type]
        if path == growing and path.read_bytes().count(b"\n") < 3:
            with path.open("a") as file:
                file.write(order(4) + "\n")

    monkeypatch.setattr(loading, "read", read)
    report = company.land()
    assert statuses(report)["order/b.csv"] == "waiting"
    assert company.current() == [("o1",), ("o3",)] and growing.exists()
    company.reconcile()
    company.land()
    assert company.current() == [("o1",), ("o2",), ("o3",), ("o4",)]
    company.reconcile()


def test_parquet_without_its_end_waits_and_is_refused_when_old(
    company: Company, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"id": ["o1"]}), tmp_path / "x.parquet")
    half = company.put("a.parquet", (tmp_path / "x.parquet").read_bytes()[:-20])
    assert statuses(company.land()) == {"order/a.parquet": "waiting"}
    age(half, 120)
    [refused] = company.land().refused
    assert refused.rule == "not_parquet" and half.exists()


_CHILD = """
import os, sys
from datetime import date
from pathlib import Path
from orchestration.home import Home
from orchestration.landing import gate, land, load as loading, load_declarations
from orchestration.warehouse.duckdb import DuckDbWarehouse

point, project, root = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

def die(*_):
    print("here", flush=True)
    sys.stdin.read()

if point == "after_commit":
    gate.move_to_archive = die
else:
    loading.current_loads = lambda records, known=loading.current_loads: (
        die() if any(r.status == "loaded" for r in records) else known(records)
    )
home = Home(root)
with DuckDbWarehouse(home.warehouse) as warehouse:
    land(home, warehouse, load_declarations(project), date(2026, 11, 1))
"""


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
def test_killed_landing_is_finished_by_the_next(
    company: Company, tmp_path: Path, point: str
) -> None:
    company.put("a.csv", csv_text(order(1), order(2)))
    company.put("b.csv", csv_text(order(3)))
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, point, str(tmp_path / "project"), str(company.home.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "here"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert len(pending_files(company.home)) == 2
    report = company.land()
    finished = point == "after_commit"
    assert report.landed == (0 if finished else 3) and report.duplicate == 0
    if finished:
        assert set(statuses(report).values()) == {"archived"}
    assert company.current() == [("o1",), ("o2",), ("o3",)]
    assert set(company.archived()) == {"a.csv", "b.csv"} and pending_files(company.home) == []
    company.reconcile()


def test_an_archive_on_another_filesystem(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", refuse)
    company.put("a.csv", csv_text(order(1)))
    company.land()
    assert company.archived() == {"a.csv": csv_text(order(1)).encode()}
    assert pending_files(company.home) == []


def test_a_large_file_is_read_in_parts(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.landing.readers.CHUNK_ROWS", 7)
    monkeypatch.setattr(loading, "CHUNK_ROWS", 7)
    lines = [order(n) if n % 10 else order(n, pieces="x") for n in range(1, 101)]
    company.put("a.csv", csv_text(*lines))
    report = company.land()
    assert (report.loaded, report.rejected) == (90, 10)
    assert [row[1] for row in company.rejected()] == list(range(10, 101, 10))
    assert sorted(company.current(columns="_row")) == [(n,) for n in range(1, 101) if n % 10]
    company.reconcile()


def test_progress_is_told(company: Company) -> None:
    company.put("a.csv", csv_text(order(1)))
    lines: list[str] = []
    with DuckDbWarehouse(company.home.warehouse) as warehouse:
        land(company.home, warehouse, company.declarations, AS_OF, lines.append)
    assert lines == ["shop.order: 1 of 1 files, 1 rows landed"]


def test_a_stamp_tells_a_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    first = Stamp.of(path)
    time.sleep(0.01)
    path.write_text("two")
    assert Stamp.of(path) != first and Stamp.of(tmp_path / "gone") is None


# Connector schemas ----------------------------------------------------------------------------


def connector(company: Company, tmp_path: Path) -> None:
    (company.home.root / "sources.yml").write_text("shop: {mode: schema, schema: fivetran_shop}\n")
    company.declarations = load_declarations(tmp_path / "project", company.home.root)
    with DuckDbWarehouse(company.home.warehouse) as warehouse:
        warehouse.execute("create schema fivetran_shop")
        warehouse.execute(
            'create table fivetran_shop."order" (id varchar, total double, updated_at timestamptz, '
            "currency varchar, _fivetran_id varchar)"
        )
        warehouse.execute("create table fivetran_shop.line (sku varchar, pieces integer)")


def change(company: Company, statement: str) -> None:
    with DuckDbWarehouse(company.home.warehouse) as warehouse:
        warehouse.execute(statement)


def test_schema_mode_appends_what_is_new(company: Company, tmp_path: Path) -> None:
    connector(company, tmp_path)
    change(
        company,
        "insert into fivetran_shop.\"order\" values ('o1', 1.5, '2026-01-01 10:00:00+02', 'GBP', "
        "'f1'), ('o2', 2, '2026-01-01', 'GBP', 'f2'), ('o3', -3, '2026-01-01', 'GBP', 'f3')",
    )
    change(company, "insert into fivetran_shop.line values ('x', 1), ('x', 1)")
    report = company.land()
    assert (report.landed, report.loaded, report.rejected) == (5, 4, 1)
    assert company.current(columns="id, total::varchar, updated_at::varchar, _extra")[0] == (
        "o1",
        "1.5000",
        "2026-01-01 08:00:00",
        '{"_fivetran_id":"f1"}',
    )
    assert company.rejected()[0][2:4] == ("total", "range")
    assert company.land().landed == 0, "nothing new, nothing landed, no fault told twice"
    change(company, "update fivetran_shop.\"order\" set total = 9 where id = 'o2'")
    change(company, "insert into fivetran_shop.line values ('y', 2)")
    report = company.land()
    assert report.of("shop", "order").landed == 1 and report.of("shop", "line").landed == 3
    assert len(company.current()) == 3 and len(company.current("line", "sku")) == 3
    files = company.rows("select file from raw_landing.loads order by load_id")
    assert [file for (file,) in files] == [
        "schema:fivetran_shop.order#1",
        "schema:fivetran_shop.line",
        "schema:fivetran_shop.order#2",
        "schema:fivetran_shop.line",
    ]
    company.reconcile()


def test_schema_mode_refuses_a_table_without_a_required_column(
    company: Company, tmp_path: Path
) -> None:
    connector(company, tmp_path)
    change(company, 'alter table fivetran_shop."order" drop column total')
    change(company, "insert into fivetran_shop.line values ('y', 2)")
    for _ in range(2):
        report = company.land()
        assert [file.rule for file in report.refused] == ["missing_column"]
    assert company.current("line", "sku") == [("y",)]


# Declarations ---------------------------------------------------------------------------------

WRONG = {
    "type": (
        "data_type: bigint, config: {meta: {max",
        "data_type: int, config: {meta: {max",
        "int",
    ),
    "key": ("key: [id]", "key: [ident]", "'ident', which is no column"),
    "meta": ("required: true, min: 0", "requried: true, min: 0", "unknown key 'requried'"),
    "seed": ("currencies.currency_code", "currencies.code", "no column 'code'"),
    "reserved": ("{name: weight,", "{name: _row,", "belongs to the loader"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_declarations_are_told_by_file_and_table(tmp_path: Path, case: str) -> None:
    before, after, words = WRONG[case]
    assert before in SOURCES
    with pytest.raises(CdpError) as raised:
        load_declarations(write_project(tmp_path, SOURCES.replace(before, after)))
    text = str(raised.value)
    assert words in text and "_shop__sources.yml" in text and "table order" in text


def test_a_rule_that_names_no_column_is_told(company: Company, tmp_path: Path) -> None:
    wrong = SOURCES.replace("refunded <= total", "refunded <= totl")
    company.declarations = load_declarations(write_project(tmp_path / "wrong", wrong))
    company.put("a.csv", csv_text(order(1)))
    with pytest.raises(CdpError, match="rule refund_within_total"):
        company.land()


@pytest.mark.parametrize(
    "text",
    [
        "shop: {mode: schema}",
        "shop: {mode: ftp}",
        "shup: {mode: files}",
        "shop: {password: x}",
        "shop: {mode: schema, schema: raw_shop}",
    ],
)
def test_wrong_installation_settings_are_told(company: Company, tmp_path: Path, text: str) -> None:
    (company.home.root / "sources.yml").write_text(text)
    with pytest.raises(CdpError, match=r"sources\.yml"):
        load_declarations(tmp_path / "project", company.home.root)


def test_the_project_s_own_declarations_load() -> None:
    declared = load_declarations(PROJECT)
    assert declared["erp"].tables["invoice_lines"].rules[0].name == "negative_price"
    assert declared["fx"].tables["rates"].key == ("rate_date", "currency")
