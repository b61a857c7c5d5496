"""People of the sample company, some of them there twice, from whom the shipped model is learned.

The company's own records differ too little for that: once equal identifiers have joined them,
seven of 10,000 people are left apart. So some people register again here, and as people do who
were not recognised: with another address or number, a slip, marks left out, after a move.
How often each happens is an assumption, written below; with people of your own, train again.
"""

import random
import tempfile
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.demo.company_settings import read_settings
from orchestration.demo.delivery import History, Output
from orchestration.demo.people import make_people

AS_OF = date(2026, 11, 1)
# Of all people, those who register again.
AGAIN = 0.2
# Of the second registrations, those that differ in this way; what is not named stays equal.
SLIPS: Mapping[str, Mapping[str, float]] = {
    "name": {
        "marks": 0.15,
        "slip": 0.10,
        "swapped": 0.04,
        "initial": 0.03,
        "part": 0.02,
        "family": 0.03,
    },
    "birth_date": {"unknown": 0.30, "slip": 0.04, "swapped": 0.02},
    "email": {"other": 0.75, "unknown": 0.10, "domain": 0.06, "slip": 0.04},
    "phone": {"other": 0.50, "unknown": 0.30, "home": 0.05, "slip": 0.05},
    "address": {"moved": 0.20, "unknown": 0.25, "slip": 0.12},
}
UNTOLD = {"birth_date": 0.15, "phone": 0.1}
COLUMNS = (
    "record_id", "first_name", "last_name", "birth_date", "email", "phone", "address_line",
    "city", "postal_code", "country_code",
)  # fmt: skip

Person = dict[str, Any]


def make_sample(people: Path, customers: int = 10_000, seed: int = 7) -> dict[str, str]:
    """Write people as a Parquet file; returns the record that each second one repeats.

    The same arguments give the same rows. What it returns is for tests; training never asks.
    """
    draw = random.Random(seed)
    first = _company(customers, seed)
    rows = []
    repeats = {}
    for number, person in enumerate(first):
        told = {**person, "record_id": f"R{number:07}"}
        for column, share in UNTOLD.items():
            if draw.random() < share:
                told[column] = None
        rows.append(told)
        if draw.random() < AGAIN:
            other = first[draw.randrange(len(first))]
            again = _again(person, other, draw)
            again["record_id"] = f"S{number:07}"
            rows.append(again)
            repeats[again["record_id"]] = told["record_id"]
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in COLUMNS}), people)
    return repeats


def _company(customers: int, seed: int) -> list[Person]:
    """The people of the sample company who ever say who they are."""
    settings = read_settings()
    history = History(AS_OF, settings.sizes["months"], settings.sizes["daily_web_days"])
    with tempfile.TemporaryDirectory() as folder:
        output = Output(Path(folder), Path(folder), duckdb.connect(":memory:"))
        try:
            made = make_people(
                np.random.Generator(np.random.PCG64([seed, 0])),
                customers,
                settings,
                history,
                output,
            )
        finally:
            output.close()
    columns = made.words.select(
        ["given", "family", "birthday", "email_a", "email_b", "phone", "street", "city",
         "postal_code", "country"]
    ).to_pylist()  # fmt: skip
    return [
        {
            "first_name": row["given"],
            "last_name": row["family"],
            "birth_date": date.fromisoformat(row["birthday"]),
            "email": row["email_a"],
            "other_email": row["email_b"],
            "phone": row["phone"],
            "address_line": row["street"],
            "city": row["city"],
            "postal_code": row["postal_code"],
            "country_code": row["country"],
        }
        for row, known in zip(columns, made.known, strict=True)
        if known
    ]


def _again(person: Person, other: Person, draw: random.Random) -> Person:
    """The same person, registering anew."""
    told = dict(person)
    for field, change in _CHANGES.items():
        point = draw.random()
        for kind, share in SLIPS[field].items():
            if point < share:
                change(told, other, kind, draw)
                break
            point -= share
    return told


def _slip(text: str, draw: random.Random, letters: str) -> str:
    """One letter left out, doubled, changed, or before its turn."""
    place = draw.randrange(len(text))
    kind = draw.randrange(4)
    if kind == 0 and len(text) > 2:
        return text[:place] + text[place + 1 :]
    if kind == 1:
        return text[:place] + text[place] + text[place:]
    if kind == 2 and place > 0:
        return text[: place - 1] + text[place] + text[place - 1] + text[place + 1 :]
    return text[:place] + draw.choice(letters) + text[place + 1 :]


def _change_name(told: Person, other: Person, kind: str, draw: random.Random) -> None:
    if kind == "marks":
        folded = duckdb.execute(
            "select strip_accents(?), strip_accents(?)", [told["first_name"], told["last_name"]]
        ).fetchall()[0]
        told["first_name"], told["last_name"] = (
            text.replace("đ", "d").replace("Đ", "D") for text in folded
        )
    elif kind == "slip":
        part = draw.choice(["first_name", "last_name"])
        told[part] = _slip(told[part], draw, told[part])
    elif kind == "swapped":
        told["first_name"], told["last_name"] = told["last_name"], told["first_name"]
    elif kind == "part":
        told[draw.choice(["first_name", "last_name"])] = None
    elif kind == "initial":
        told["first_name"] = told["first_name"][0]
    elif other["country_code"] == told["country_code"]:
        told["last_name"] = other["last_name"]


def _change_birth_date(told: Person, _: Person, kind: str, draw: random.Random) -> None:
    born = told["birth_date"]
    if kind == "unknown":
        told["birth_date"] = None
    elif kind == "swapped" and born.day <= 12:
        told["birth_date"] = born.replace(month=born.day, day=born.month)
    else:
        told["birth_date"] = born.replace(
            year=born.year + draw.choice([-10, -1, 1, 10]), day=min(born.day, 28)
        )


def _change_email(told: Person, _: Person, kind: str, draw: random.Random) -> None:
    local, _, domain = told["email"].partition("@")
    if kind == "unknown":
        told["email"] = None
    elif kind == "other":
        told["email"] = told["other_email"]
    elif kind == "domain":
        told["email"] = f"{local}@elsewhere.example"
    else:
        told["email"] = f"{_slip(local, draw, local)}@{domain}"


def _change_phone(told: Person, other: Person, kind: str, draw: random.Random) -> None:
    if told["phone"] is None or kind == "unknown":
        told["phone"] = None
    elif kind == "home":
        told["phone"] = "0" + told["phone"][-9:]
    elif kind == "slip":
        told["phone"] = told["phone"][:5] + _slip(told["phone"][5:], draw, "0123456789")
    else:
        told["phone"] = told["phone"][:5] + "".join(draw.choices("0123456789", k=8))


def _change_address(told: Person, other: Person, kind: str, draw: random.Random) -> None:
    if kind == "moved":
        for column in ("address_line", "city", "postal_code", "country_code"):
            told[column] = other[column]
    elif kind == "unknown":
        told["address_line"] = told["city"] = told["postal_code"] = None
    else:
        told["address_line"] = _slip(told["address_line"], draw, told["address_line"])


_CHANGES: Mapping[str, Callable[[Person, Person, str, random.Random], None]] = {
    "name": _change_name,
    "birth_date": _change_birth_date,
    "email": _change_email,
    "phone": _change_phone,
    "address": _change_address,
}
