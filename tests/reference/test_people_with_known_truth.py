"""People of whom it is known who is who: FEBRL's three data sets, and Splink's thousand.

The answers stand in the record's name or a column of its own; neither is given to matching.
Pairs are the ones scored; clusters are what becomes of them when pairs are joined up.
"""

import csv
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reference_files import reference_folder

from orchestration.matching import load_settings, score, train

pytestmark = pytest.mark.reference

HERE = Path(__file__).parent
Pairs = set[tuple[str, str]]
Rows = list[dict[str, str | None]]


@dataclass(frozen=True)
class Quality:
    """How many of the found pairs are right, how many of the right ones were found, and both."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / (self.precision + self.recall)

    def __str__(self) -> str:
        return f"precision {self.precision:.4f} recall {self.recall:.4f} F1 {self.f1:.4f}"


def quality(found: Pairs, truth: Pairs) -> Quality:
    right = len(found & truth)
    return Quality(right / len(found), right / len(truth))


def pairs_within(groups: Iterable[list[str]]) -> Pairs:
    return {pair for group in groups for pair in combinations(sorted(group), 2)}


def joined(pairs: Pairs) -> Pairs:
    """Every pair of records that a chain of pairs connects."""
    root: dict[str, str] = {}

    def find(record: str) -> str:
        while root.setdefault(record, record) != record:
            root[record] = root[root[record]]
            record = root[record]
        return record

    for one, other in sorted(pairs):
        root[find(one)] = find(other)
    groups = defaultdict(list)
    for record in sorted(root):
        groups[find(record)].append(record)
    return pairs_within(groups.values())


def read_csv(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key.strip(): value.strip() or None for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def matched(
    rows: Rows, hidden: set[str], settings_file: str, folder: Path
) -> dict[tuple[str, str], float]:
    """Train and score without the hidden columns; the probability of each pair."""
    began = time.perf_counter()
    people, model, pairs = (folder / name for name in ("people.parquet", "model.json", "pairs"))
    told = [{key: value for key, value in row.items() if key not in hidden} for row in rows]
    pq.write_table(pa.Table.from_pylist(told), people)
    settings = load_settings(HERE / settings_file)
    train(people, settings, model)
    result = score(people, settings, model, pairs)
    seconds = time.perf_counter() - began
    sys.stdout.write(
        f"\n{result.people:,} records, {result.comparisons:,} comparisons, trained and scored in "
        f"{seconds:.1f} s, scored in {result.seconds:.1f} s\n"
    )
    assert seconds < 15
    return {
        (row["record_id_a"], row["record_id_b"]): row["match_probability"]
        for row in pq.read_table(pairs).to_pylist()
    }


def measured(
    scored: dict[tuple[str, str], float], truth: Pairs, threshold: float
) -> tuple[Quality, Quality]:
    """Quality of the pairs from this probability on, and of their clusters."""
    found = {pair for pair, probability in scored.items() if probability >= threshold}
    told = quality(found, truth), quality(joined(found), truth)
    sys.stdout.write(f"at {threshold}: pairs {told[0]}; clusters {told[1]}\n")
    return told


@pytest.mark.parametrize(
    ("number", "records", "links", "pairs_f1", "clusters_f1"),
    [
        (1, 1_000, 500, 0.998, 0.998),
        (2, 5_000, 1_934, 0.994, 0.998),
        (3, 5_000, 6_538, 0.994, 0.998),
    ],
)
def test_febrl_without_its_social_security_number(
    number: int,
    records: int,
    links: int,
    pairs_f1: float,
    clusters_f1: float,
    tmp_path: Path,
) -> None:
    rows = read_csv(reference_folder("identity/febrl") / f"dataset{number}.csv")
    # rec-12-org and rec-12-dup-0 are one person; matching gets another name of the record.
    groups = defaultdict(list)
    for number_in_file, row in enumerate(rows):
        person = str(row["rec_id"]).split("-")[1]
        row["rec_id"] = str(number_in_file)
        groups[person].append(str(number_in_file))
    truth = pairs_within(groups.values())
    assert (len(rows), len(truth)) == (records, links)
    scored = matched(rows, {"soc_sec_id"}, "matching_febrl.yml", tmp_path)
    for threshold in (0.9, 0.5, 0.99):
        pairs, clusters = measured(scored, truth, threshold)
        assert pairs.f1 >= pairs_f1 and clusters.f1 >= clusters_f1
        assert pairs.precision >= 0.999


def test_splinks_thousand_people(tmp_path: Path) -> None:
    folder = reference_folder("identity/splink")
    rows = read_csv(folder / "fake_1000.csv")
    groups = defaultdict(list)
    for row in rows:
        groups[row["cluster"]].append(str(row["unique_id"]))
    truth = pairs_within(groups.values())
    labels = read_csv(folder / "fake_1000_labels.csv")
    assert (len(rows), len(truth)) == (1_000, 2_031)
    assert truth == {
        tuple(sorted((str(row["unique_id_l"]), str(row["unique_id_r"]))))
        for row in labels
        if float(row["clerical_match_score"] or 0) == 1
    }
    scored = matched(rows, {"cluster"}, "matching_fake_1000.yml", tmp_path)
    pairs, clusters = measured(scored, truth, 0.5)
    measured(scored, truth, 0.9)
    assert pairs.precision >= 0.98 and pairs.recall >= 0.80 and clusters.f1 >= 0.93
    # What limits it: who left their name, birth date, town or address as the others wrote them.
    agreeing = count_agreeing(rows)
    missed = truth - {pair for pair, probability in scored.items() if probability >= 0.5}
    shared = sum(agreeing(pair) < 2 for pair in missed) / len(missed)
    sys.stdout.write(
        f"of {len(truth):,} true pairs {sum(agreeing(pair) == 0 for pair in truth):,} share no "
        f"equal field; of the {len(missed):,} missed, {shared:.0%} share at most one\n"
    )
    assert shared > 0.8


def count_agreeing(rows: Rows) -> Callable[[tuple[str, str]], int]:
    """In how many fields two records are equal, capitals aside."""
    fields = ("first_name", "surname", "dob", "city", "email")
    told = {
        str(row["unique_id"]): [(row[field] or "").lower() or None for field in fields]
        for row in rows
    }

    def agreeing(pair: tuple[str, str]) -> int:
        one, other = (told[record] for record in pair)
        return sum(a is not None and a == b for a, b in zip(one, other, strict=True))

    return agreeing
