"""Probable matches: names of four scripts, a model that is made again, and hostile files."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from support import PROJECT

from orchestration.matching import (
    MODEL_FILE,
    MatchResult,
    MatchSettings,
    MatchSettingsError,
    ModelError,
    PeopleError,
    load_settings,
    score,
    train,
)
from orchestration.matching.fold import macros
from orchestration.matching.model import load, of_size
from orchestration.matching.sample import COLUMNS, make_sample
from orchestration.matching.settings import SETTINGS_FILE

Row = Mapping[str, Any]
Pair = tuple[str, str, float, float, str]
SCHEMA = pa.schema(
    [(name, pa.date32() if name == "birth_date" else pa.string()) for name in COLUMNS]
)


@pytest.fixture(scope="module")
def settings() -> MatchSettings:
    return load_settings()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Ten thousand people that the shipped model has not seen, and who is there twice."""
    people = tmp_path_factory.mktemp("sample") / "people.parquet"
    return people, make_sample(people, 10_000, seed=8)


@pytest.fixture(scope="module")
def scored(
    sample: tuple[Path, dict[str, str]], settings: MatchSettings
) -> tuple[MatchResult, list[Pair]]:
    pairs = sample[0].with_name("pairs.parquet")
    return score(sample[0], settings, MODEL_FILE, pairs), read(pairs)


def read(path: Path) -> list[Pair]:
    """Rows in the order of the file."""
    return [tuple(row) for row in pq.read_table(path).to_pandas().itertuples(index=False)]


def write(path: Path, rows: list[Row]) -> Path:
    full = [{name: row.get(name) for name in COLUMNS} for row in rows]
    pq.write_table(pa.Table.from_pylist(full, schema=SCHEMA), path)
    return path


def person(record: str, first: str | None, last: str | None, **more: Any) -> Row:
    """Somebody with a birth date and an address, unless told otherwise."""
    told = {
        "birth_date": date(1987, 5, 14),
        "address_line": "12 Nguyễn Huệ",
        "city": "Huế",
        "postal_code": "530000",
        "country_code": "VN",
    }
    return {"record_id": record, "first_name": first, "last_name": last, **told, **more}


@pytest.fixture
def match(tmp_path: Path, settings: MatchSettings) -> Callable[..., list[Pair]]:
    """Pairs of a few people, among enough strangers that a name has its usual rarity."""

    def matched(*rows: Row, settings: MatchSettings = settings) -> list[Pair]:
        pairs = tmp_path / "pairs.parquet"
        score(write(tmp_path / "people.parquet", list(rows)), settings, MODEL_FILE, pairs)
        return read(pairs)

    return matched


Name = tuple[str | None, str | None]
ONE_NAME: list[tuple[Name, Name]] = [
    (("JOSÉ", "Garçon"), ("jose", "garcon")),
    (("Seán", "O'Neill"), ("Sean", "O’Neill")),
    (("Mary-Ann", "Smith"), ("Mary Ann", "SMITH")),
    (("Ｊｏｈｎ", "Ｓｍｉｔｈ"), ("John", "Smith")),
    (("  John ", "Smith\t"), ("John", "Smith")),
    (("Smith", "John"), ("John", "Smith")),
    (("Văn Hùng", "Đặng"), ("Van Hung", "Dang")),
    (("VĂN HÙNG", "ĐẶNG"), ("văn hùng", "đặng")),
    (("Đặng", "Văn Hùng"), ("Văn Hùng", "Đặng")),
    (("Nam", "Nguyễn Văn"), ("Văn Nam", "Nguyễn")),
    ((None, "Nguyễn Văn Nam"), ("Văn Nam", "Nguyễn")),
    (("Nguye\u0302\u0303n", "An"), ("Nguyễn", "An")),
    (("小明", "王"), ("王", "小明")),
    (("王小明", None), ("小明", "王")),
    (("小 明", "王"), ("小明", "王")),
    (("國華", "陳"), ("国华", "陈")),
    (("علي", "كاظمي"), ("علی", "کاظمی")),
    (("مُحَمَّد", "رضائی"), ("محمد", "رضایی")),
    (("علی\u200cرضا", "محمدی"), ("علیرضا", "محمدی")),
    (("علی رضا", "محمدی"), ("علی\u200cرضا", "محمدی")),
    (("محـــمد", "أحمدی"), ("محمد", "احمدی")),
    (("محمدی", "فاطمة"), ("فاطمه", "محمدی")),
    (("ﻣﺤﻤﺪ", "احمدی"), ("محمد", "احمدی")),
    (("\u202bمحمد\u202c", "احمدی\u200f"), ("محمد", "احمدی")),
]
TWO_NAMES: list[tuple[Name, Name]] = [
    (("John", "Smith"), ("Joan", "Smith")),
    (("Sophie", "Brown"), ("Sophia", "Brown")),
    (("Christian", "Hall"), ("Christina", "Hall")),
    (("Ánh", "Nguyễn"), ("Anh", "Nguyễn")),
    (("Thị Lan", "Nguyễn"), ("Thị Loan", "Nguyễn")),
    (("Văn Nam", "Trần"), ("Văn Năm", "Trần")),
    (("小明", "王"), ("小民", "王")),
    (("小明", "王"), ("大明", "王")),
    (("志明", "陳"), ("志明", "程")),
    (("حسن", "احمدی"), ("حسین", "احمدی")),
    (("رضا", "کریمی"), ("رضا", "کرمی")),
    (("مریم", "نوری"), ("مریم", "نظری")),
]
LEVELS: list[tuple[Name, Name, str]] = [
    (("Sophie", "Brown"), ("Sophia", "Brown"), "similar"),
    (("J.", "Smith"), ("John", "Smith"), "initial"),
    (("Mai", None), ("Mai", "Tô"), "one known"),
    (("Lan", "Trần"), ("Lan", "Phạm"), "given"),
    # Brother and sister, or father and son: the family name and the address are no proof.
    (("Lan", "Trần"), ("Hùng", "Trần"), "no candidate"),
    (("小明", "王"), ("小民", "王"), "no candidate"),
    (("رضا", "کریمی"), ("علی", "کریمی"), "no candidate"),
]


@pytest.fixture(scope="module")
def levels(
    settings: MatchSettings, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[Name, Name], str]:
    """How far each two names agree, two people a case who agree in everything else."""
    folder = tmp_path_factory.mktemp("names")
    cases = list(dict.fromkeys([case[:2] for case in (*ONE_NAME, *TWO_NAMES, *LEVELS)]))
    rows = []
    for number, names in enumerate(cases):
        own = {
            "birth_date": date(1950, 1, 1) + timedelta(days=97 * number),
            "address_line": f"{number} Nguyễn Huệ",
            "postal_code": str(530_000 + number),
        }
        rows += [person(f"{number}{side}", *names[i], **own) for i, side in enumerate("ab")]
    score(write(folder / "people.parquet", rows), settings, MODEL_FILE, folder / "pairs.parquet")
    found = {pair[:2]: pair[4] for pair in read(folder / "pairs.parquet")}
    return {
        names: found.get((f"{number}a", f"{number}b"), "name: no candidate")
        .split("; ")[0]
        .removeprefix("name: ")
        for number, names in enumerate(cases)
    }


@pytest.mark.parametrize(("one", "other"), ONE_NAME)
def test_spellings_of_one_name_are_the_same_name(
    levels: dict[tuple[Name, Name], str], one: Name, other: Name
) -> None:
    assert levels[one, other] == "same"


@pytest.mark.parametrize(("one", "other"), TWO_NAMES)
def test_similar_names_of_two_people_are_not_the_same_name(
    levels: dict[tuple[Name, Name], str], one: Name, other: Name
) -> None:
    assert levels[one, other] != "same"


@pytest.mark.parametrize(("one", "other", "level"), LEVELS)
def test_how_far_names_agree(
    levels: dict[tuple[Name, Name], str], one: Name, other: Name, level: str
) -> None:
    assert levels[one, other] == level


def test_a_pair_says_why(match: Callable[..., list[Pair]]) -> None:
    pairs = match(
        person("b", "Lan", "Đỗ", email="lan.do@one.example", phone="+84912345678"),
        person(
            "a", "Lan", "Do", email="lan.do@two.example", phone="0912 345 678",
            birth_date=date(1978, 5, 14), address_line="12 Nguyen Hue",
        ),
    )  # fmt: skip
    assert [pair[:2] for pair in pairs] == [("a", "b")]
    assert pairs[0][4] == (
        "name: same; birth_date: two digits off; email: same before the at sign; "
        "phone: last nine digits; address: same"
    )
    weight, probability = pairs[0][2:4]
    assert probability == pytest.approx(2**weight / (1 + 2**weight))


def test_another_birth_date_is_another_person(match: Callable[..., list[Pair]]) -> None:
    father = person("a", "Jack", "Ward", phone="+447400111222")
    son = person("b", "Jack", "Ward", phone="+447400111222", birth_date=date(2011, 11, 3))
    assert match(father, son) == []


def test_values_that_many_people_type_are_no_evidence(match: Callable[..., list[Pair]]) -> None:
    filled_in = {
        "birth_date": date(1900, 1, 1), "email": "Test@Test.com", "phone": "000 000 0000",
        "address_line": None, "city": None, "postal_code": None,
    }  # fmt: skip
    guests = [person(str(n), "Guest", None, **filled_in) for n in range(3)]
    assert match(*guests) == []


def test_people_it_never_saw_are_found_and_fast(
    sample: tuple[Path, dict[str, str]], scored: tuple[MatchResult, list[Pair]]
) -> None:
    result, pairs = scored
    truth = {tuple(sorted(pair)) for pair in sample[1].items()}
    found = {pair[:2] for pair in pairs if pair[3] >= 0.9}
    right = len(found & truth)
    sys.stdout.write(
        f"{result.people:,} people, {result.comparisons:,} comparisons, {result.seconds:.1f} s; "
        f"at 0.9 precision {right / len(found):.4f}, recall {right / len(truth):.4f}\n"
    )
    assert result.people > 9_000 and result.pairs == len(pairs)
    assert result.seconds < 10
    assert right / len(found) > 0.99
    # A fifth of the second records repeats no birth date, mailbox, phone or address line.
    assert right / len(truth) > 0.78


def test_pairs_are_ordered_and_made_again_byte_for_byte(
    sample: tuple[Path, dict[str, str]],
    scored: tuple[MatchResult, list[Pair]],
    settings: MatchSettings,
    tmp_path: Path,
) -> None:
    pairs = scored[1]
    assert pairs == sorted(pairs) and all(pair[0] < pair[1] for pair in pairs)
    table = pq.read_table(sample[0])
    turned = tmp_path / "turned.parquet"
    pq.write_table(table.take(list(range(table.num_rows - 1, -1, -1))), turned)
    more = settings.model_copy(update={"threads": 3})
    score(turned, more, MODEL_FILE, tmp_path / "again.parquet")
    again = (tmp_path / "again.parquet").read_bytes()
    assert again == sample[0].with_name("pairs.parquet").read_bytes()


def test_the_shipped_model_is_the_one_that_the_sample_teaches(
    settings: MatchSettings, tmp_path: Path
) -> None:
    make_sample(tmp_path / "people.parquet")
    train(tmp_path / "people.parquet", settings, tmp_path / "model.json")
    made, shipped = (json.loads(path.read_text()) for path in (tmp_path / "model.json", MODEL_FILE))
    assert numbers(made) == pytest.approx(numbers(shipped), rel=1e-4)
    assert without_numbers(made) == without_numbers(shipped)


def test_training_twice_gives_the_same_bytes(settings: MatchSettings, tmp_path: Path) -> None:
    make_sample(tmp_path / "people.parquet", 1_000, seed=3)
    quick = settings.model_copy(
        update={"training": settings.training.model_copy(update={"random_pairs": 20_000})}
    )
    for name in ("one", "two"):
        train(tmp_path / "people.parquet", quick, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def numbers(model: dict[str, Any]) -> list[float]:
    return [model["probability_two_random_records_match"]] + [
        level[key]
        for comparison in model["comparisons"]
        for level in comparison["comparison_levels"]
        for key in ("m_probability", "u_probability")
        if key in level
    ]


def without_numbers(model: dict[str, Any]) -> list[Any]:
    return [
        [level["sql_condition"] for level in comparison["comparison_levels"]]
        for comparison in model["comparisons"]
    ]


def test_a_weaker_level_never_tells_more_than_a_stronger_one() -> None:
    for comparison in json.loads(MODEL_FILE.read_text())["comparisons"]:
        told = [
            level["m_probability"] / level["u_probability"]
            for level in comparison["comparison_levels"]
            if "m_probability" in level
        ]
        for stronger, weaker in pairwise(told[:-1]):
            assert weaker <= stronger * 1.000001
        assert told[-1] < 1


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [person("a", "Lan", "Đỗ")],
        [{"record_id": str(n)} for n in range(5)],
        [person(str(n), None, None) for n in range(3)],
    ],
    ids=["nobody", "one person", "nothing told", "no names"],
)
def test_files_with_little_in_them(
    match: Callable[..., list[Pair]], rows: list[Row], tmp_path: Path
) -> None:
    for pair in match(*rows):
        assert pair[0] < pair[1]
    schema = pq.read_schema(tmp_path / "pairs.parquet")
    assert [(field.name, str(field.type)) for field in schema] == [
        ("record_id_a", "string"),
        ("record_id_b", "string"),
        ("match_weight", "double"),
        ("match_probability", "double"),
        ("matched_on", "string"),
    ]


def test_a_column_without_a_type_or_value(settings: MatchSettings, tmp_path: Path) -> None:
    people = pa.table(
        {name: ["a", "b"] if name == "record_id" else pa.nulls(2) for name in COLUMNS}
    )
    pq.write_table(people, tmp_path / "people.parquet")
    result = score(tmp_path / "people.parquet", settings, MODEL_FILE, tmp_path / "pairs.parquet")
    assert (result.people, result.comparisons, result.pairs) == (2, 0, 0)


def test_all_rows_equal(match: Callable[..., list[Pair]]) -> None:
    pairs = match(*(person(f"{n:02}", "Lan", "Đỗ", email="lan@do.example") for n in range(20)))
    assert len(pairs) == 190 and len({pair[2:] for pair in pairs}) == 1


def test_hostile_text_is_text(match: Callable[..., list[Pair]]) -> None:
    texts = [
        *("x" * 10_000, "王" * 10_000, "e\u0301\u0301" * 5_000, "a b " * 2_500),
        *("'; drop table prepared; --", '"', "''", "\\", "%_", "{given}", "-", "\r\n\t"),
        *("👩‍👩‍👧‍👦", "\u202eevil", "\ufeff\u200b", "ﷺ", "𝕁𝕠𝕙𝕟"),
    ]
    rows = []
    for number, text in enumerate(texts):
        for side in "ab":
            told = {name: text for name in COLUMNS if name not in ("record_id", "birth_date")}
            rows.append({**told, "record_id": f"{text[:20]}{number}{side}", "birth_date": None})
    pairs = match(*rows)
    assert all(pair[0] < pair[1] for pair in pairs)
    assert {"x" * 20 + "0a", "王" * 20 + "1a"} <= {pair[0] for pair in pairs}


def test_a_rule_that_would_compare_too_much_is_trimmed_and_says_so(
    settings: MatchSettings, tmp_path: Path
) -> None:
    crowd = [
        person(f"p{n:05}", f"Tên{n}", f"Họ{n}", address_line="1 Chợ Lớn", birth_date=None)
        for n in range(3_000)
    ]
    twice = [person(f"q{n}", "Lan", "Đỗ", address_line="7 Lê Lợi") for n in range(2)]
    small = settings.model_copy(update={"max_pairs_per_rule": 1_000})
    result = score(
        write(tmp_path / "people.parquet", crowd + twice),
        small,
        MODEL_FILE,
        tmp_path / "pairs.parquet",
    )
    assert result.comparisons < 100
    assert [pair[:2] for pair in read(tmp_path / "pairs.parquet")] == [("q0", "q1")]
    notice = next(text for text in result.notices if "address.line + address.postal" in text)
    assert "4,498,501 pairs" in notice and "1 pairs remain" in notice and "raise" in notice


def test_in_a_larger_company_two_random_people_are_less_likely_one(
    settings: MatchSettings,
) -> None:
    key = "probability_two_random_records_match"
    model = load(MODEL_FILE, settings)
    assert of_size(model, 10_000)[key] == model[key]
    assert of_size(model, 100_000)[key] == pytest.approx(model[key] / 10, rel=0.001)
    assert of_size(model, 1)[key] <= 0.5


def changed(**changes: Any) -> dict[str, Any]:
    written: dict[str, Any] = yaml.safe_load(SETTINGS_FILE.read_text())
    return {**written, **changes}


def comparison(**changes: Any) -> dict[str, Any]:
    first, *others = yaml.safe_load(SETTINGS_FILE.read_text())["comparisons"]
    return changed(comparisons=[{**first, **changes}, *others])


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (changed(colour="red"), "colour: Extra inputs are not permitted"),
        (changed(engine="oracle"), "engine: Input should be 'duckdb' or 'spark'"),
        (changed(candidate_probability=1.5), "candidate_probability: Input should be less than 1"),
        (changed(memory_limit="lots"), "memory_limit: String should match pattern"),
        (changed(blocking_rules=[]), "blocking_rules: write a list of rules"),
        (changed(blocking_rules=["name.key"]), "name.key: a rule is a list such as"),
        (changed(blocking_rules=[["name.key; drop"]]), "write comparison.feature"),
        (changed(blocking_rules=[["shoe.size"]]), "shoe is no comparison; write one of name, "),
        (changed(blocking_rules=[["name.shoe"]]), "name has no shoe; write one of key, "),
        (changed(training={"blocking_rules": [["name.key"]]}), "every rule uses name"),
        (comparison(kind="horoscope"), "kind horoscope: write one of address, date, "),
        (comparison(columns={"middle": "x"}), "a name has the parts given, family, full"),
        (comparison(levels=[{"is": "close"}]), "is close: a name can be "),
        (comparison(levels=[{"is": "similar"}]), "is similar: say one_edit_in"),
        (comparison(levels=[{"is": "same", "at_most": 1}]), "at_most has no meaning here"),
        (comparison(levels=[{"is": "given", "rarity": 1}]), "rarity has no meaning here"),
        (comparison(levels=[{"is": "same"}, {"is": "same"}]), "two are named same"),
        (comparison(name="email"), "two are named email; rename one"),
        (comparison(at_least="nearly"), "at_least nearly: write one of same, similar, "),
    ],
)
def test_wrong_settings_say_what_to_write(
    tmp_path: Path, written: dict[str, Any], told: str
) -> None:
    path = tmp_path / "settings.yml"
    path.write_text(yaml.safe_dump(written, allow_unicode=True))
    with pytest.raises(MatchSettingsError) as error:
        load_settings(path)
    assert "settings.yml" in str(error.value) and told in str(error.value)


def test_settings_that_are_no_settings(tmp_path: Path) -> None:
    with pytest.raises(MatchSettingsError, match="needs its settings"):
        load_settings(tmp_path / "none.yml")
    (tmp_path / "bad.yml").write_text("a: [")
    with pytest.raises(MatchSettingsError, match="is not YAML"):
        load_settings(tmp_path / "bad.yml")
    (tmp_path / "list.yml").write_text("- a")
    with pytest.raises(MatchSettingsError, match="keys and values"):
        load_settings(tmp_path / "list.yml")


def test_a_model_of_other_comparisons_is_refused(tmp_path: Path, settings: MatchSettings) -> None:
    people = write(tmp_path / "people.parquet", [person("a", "Lan", "Đỗ")])
    path = tmp_path / "settings.yml"
    path.write_text(yaml.safe_dump(comparison(levels=[{"is": "same"}], at_least=None)))
    with pytest.raises(ModelError, match=r"other comparisons than name .* train again"):
        score(people, load_settings(path), MODEL_FILE, tmp_path / "pairs.parquet")
    with pytest.raises(ModelError, match=r"no model at .* train one"):
        score(people, settings, tmp_path / "none.json", tmp_path / "pairs.parquet")
    (tmp_path / "bad.json").write_text('{"a": 1}')
    with pytest.raises(ModelError, match=r"bad.json is not a model .* train again"):
        score(people, settings, tmp_path / "bad.json", tmp_path / "pairs.parquet")
    assert not (tmp_path / "pairs.parquet").exists()


def test_other_blocking_rules_need_no_new_model(tmp_path: Path) -> None:
    path = tmp_path / "settings.yml"
    path.write_text(yaml.safe_dump(changed(blocking_rules=[["birth_date.digits"]])))
    people = write(tmp_path / "people.parquet", [person(one, "Lan", "Đỗ") for one in "ab"])
    assert score(people, load_settings(path), MODEL_FILE, tmp_path / "pairs.parquet").pairs == 1


def test_files_of_people_that_cannot_be_matched(tmp_path: Path, settings: MatchSettings) -> None:
    def refused(people: Path) -> str:
        with pytest.raises(PeopleError) as error:
            score(people, settings, MODEL_FILE, tmp_path / "pairs.parquet")
        return str(error.value)

    assert "no file of people" in refused(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    assert "not a Parquet file" in refused(tmp_path / "text.parquet")
    pq.write_table(pa.table({"record_id": ["a"], "first_name": ["b"]}), tmp_path / "few.parquet")
    assert "no column last_name, which the comparison name reads" in refused(
        tmp_path / "few.parquet"
    )
    twice = write(tmp_path / "twice.parquet", [{"record_id": "a"}, {"record_id": "a"}])
    assert "1 rows repeat a record_id" in refused(twice)
    unknown = write(tmp_path / "unknown.parquet", [{"record_id": None}])
    assert "1 rows have no record_id" in refused(unknown)


def test_too_few_people_teach_nothing(tmp_path: Path, settings: MatchSettings) -> None:
    few = write(tmp_path / "few.parquet", [person("a", "Lan", "Đỗ")])
    with pytest.raises(ModelError, match="needs at least 50"):
        train(few, settings, tmp_path / "model.json")
    strangers = write(
        tmp_path / "strangers.parquet",
        [person(str(n), f"A{n}", f"B{n}", birth_date=None) for n in range(60)],
    )
    with pytest.raises(ModelError, match=r"no two people share name.key"):
        train(strangers, settings, tmp_path / "model.json")
    assert not (tmp_path / "model.json").exists()


def test_the_fold_keeps_marks_that_are_letters() -> None:
    connection = duckdb.connect()
    for statement in macros():
        connection.execute(statement)

    def folded(text: str) -> str:
        return str(
            connection.execute("select letters(unmarked(spelled(?)))", [text]).fetchall()[0][0]
        )

    assert folded("राम") != folded("रम") and folded("が") != folded("か")
    assert folded("กุ้ง") != folded("กง") and folded("й") != folded("и")
    assert folded("Straße Łódź Ærø") == "strasselodzaero"
    assert folded("٠١۲۳４") == "01234"


def test_settings_are_read_without_importing_splink() -> None:
    program = (
        "import sys; from orchestration.matching import load_settings; load_settings(); "
        "print(sorted({'splink', 'dagster', 'dbt', 'pyspark'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
