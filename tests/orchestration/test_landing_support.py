"""A small declared company for the landing tests: one table with a key, one without."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from orchestration.home import Home
from orchestration.landing import LandingReport, land, load_declarations
from orchestration.landing.declarations import Source
from orchestration.warehouse.duckdb import DuckDbWarehouse

AS_OF = date(2026, 11, 1)

SOURCES = """
version: 2
sources:
  - name: shop
    schema: raw_shop
    config: {meta: {mode: files, currency: GBP}}
    tables:
      - name: order
        config:
          meta:
            key: [id]
            version: [updated_at]
            rules:
              - name: refund_within_total
                column: refunded
                expression: refunded <= total
                message: no more can be refunded than was paid
        columns:
          - {name: id, data_type: string, config: {meta: {required: true}}}
          - {name: email, data_type: string, config: {meta: {contains_pii: true}}}
          - {name: currency, data_type: string, config: {meta: {seed: currencies.currency_code}}}
          - {name: status, data_type: string, config: {meta: {accepted: [open, paid]}}}
          - {name: total, data_type: "decimal(18,4)", config: {meta: {required: true, min: 0}}}
          - {name: refunded, data_type: "decimal(18,4)"}
          - {name: pieces, data_type: bigint, config: {meta: {max: 1000}}}
          - {name: weight, data_type: double}
          - {name: is_test, data_type: boolean}
          - {name: due, data_type: date}
          - {name: updated_at, data_type: timestamp, config: {meta: {required: true}}}
          - {name: birthday, data_type: date, config: {meta: {contains_pii: true}}}
          - {name: props, data_type: string, config: {meta: {format: json}}}
      - name: line
        config: {meta: {key: []}}
        columns:
          - {name: sku, data_type: string, config: {meta: {required: true}}}
          - {name: pieces, data_type: bigint}
"""

HEADER = (
    "id,email,currency,status,total,refunded,pieces,weight,is_test,due,updated_at,birthday,props"
)


def order(number: int, **given: str) -> str:
    """One good CSV line of an order, with the fields given changed."""
    values = {
        "id": f"o{number}",
        "email": f"person{number}@example.com",
        "currency": "GBP",
        "status": "paid",
        "total": "12.50",
        "refunded": "",
        "pieces": "2",
        "weight": "1.5",
        "is_test": "false",
        "due": "2026-10-01",
        "updated_at": "2026-09-01 10:00:00",
        "birthday": "1990-05-05",
        "props": "",
    } | given
    return ",".join(values[name] for name in HEADER.split(","))


def csv_text(*lines: str) -> str:
    """A CSV file of orders."""
    return "\n".join((HEADER, *lines)) + "\n"


@dataclass
class Company:
    """A home, its declarations and short ways to land and to look."""

    home: Home
    declarations: dict[str, Source]
    opened: dict[Path, DuckDbWarehouse] = field(default_factory=dict)

    @property
    def warehouse(self) -> DuckDbWarehouse:
        """The home's warehouse, opened when first needed (opening takes most of a test)."""
        path = self.home.warehouse
        if path not in self.opened:
            self.opened[path] = DuckDbWarehouse(path)
        return self.opened[path]

    def close(self) -> None:
        """Let go of the warehouse files."""
        while self.opened:
            self.opened.popitem()[1].close()

    def put(self, name: str, content: str | bytes, table: str = "order") -> Path:
        """Deliver a file."""
        path = self.home.landing / "shop" / table / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def land(self) -> LandingReport:
        """One landing."""
        return land(self.home, self.warehouse, self.declarations, AS_OF)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the warehouse holds."""
        return self.warehouse.rows(query)

    def current(self, table: str = "order", columns: str = "id") -> list[tuple[Any, ...]]:
        """The rows that staging would read."""
        return self.rows(
            f'select {columns} from raw_shop."{table}" where _load_id in '
            f"(select load_id from raw_landing.current_loads where table_name = '{table}') "
            "order by all"
        )

    def rejected(self, table: str = "order") -> list[tuple[Any, ...]]:
        """(file, row, column, rule, message) of every rejected row."""
        return self.rows(
            f'select _file, _row, column_name, rule, message from raw_shop."{table}__rejected" '
            "order by _file, _row"
        )

    def archived(self) -> dict[str, bytes]:
        """Name without hash -> bytes of every archived original."""
        return {
            path.name.split("-", 1)[1]: path.read_bytes()
            for path in sorted(self.home.archive.rglob("*"))
            if path.is_file()
        }

    def reconcile(self) -> None:
        """Nothing is lost: the log agrees with the tables and with itself."""
        sums = self.rows(
            "select coalesce(sum(landed_count), 0), coalesce(sum(loaded_count), 0), "
            "coalesce(sum(rejected_count), 0), coalesce(sum(duplicate_count), 0), "
            "coalesce(sum(duplicate_count) filter (status = 'loaded'), 0) from raw_landing.loads"
        )[0]
        landed, loaded, rejected, duplicate, repeated = (int(value) for value in sums)
        assert landed == loaded + rejected + duplicate
        raw = self.rows(
            'select (select count(*) from raw_shop."order") + (select count(*) from raw_shop.line)'
        )
        bad = self.rows(
            'select (select count(*) from raw_shop."order__rejected") '
            "+ (select count(*) from raw_shop.line__rejected)"
        )
        assert (raw[0][0], bad[0][0]) == (loaded + repeated, rejected)


def write_project(root: Path, sources: str = SOURCES) -> Path:
    """A project folder with the declarations and the one seed they name."""
    folder = root / "models" / "staging" / "shop"
    folder.mkdir(parents=True)
    (folder / "_shop__sources.yml").write_text(sources)
    (root / "seeds").mkdir()
    (root / "seeds" / "currencies.csv").write_text("currency_code,name\nGBP,Pound\nTWD,Dollar\n")
    return root


@pytest.fixture(name="company")
def landing_company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    """A company with nothing landed and no waiting for young files."""
    monkeypatch.setenv("CDP_QUIET_SECONDS", "0")
    project = write_project(tmp_path / "project")
    home = Home(tmp_path / "home").ensure()
    company = Company(home, load_declarations(project, home.root))
    yield company
    company.close()


def age(path: Path, seconds: float) -> None:
    """Make a file look older."""
    found = path.stat()
    os.utime(path, (found.st_atime - seconds, found.st_mtime - seconds))
