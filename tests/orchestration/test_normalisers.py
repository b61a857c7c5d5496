"""One spelling for each value: phones against a library's reading, names folded for comparing."""

import random
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb
import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from support import AS_OF, PROJECT, Dbt, make_home, put, query

REGIONS = ("VN", "TW", "IR", "GB", "US", "DE", "FR", "IT", "JP", "SG", "AU", "ES")
KINDS = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
FULL_WIDTH = str.maketrans("0123456789+", "０１２３４５６７８９＋")
OUTSIDE = {"GB": "FR", "FR": "VN"}

# Where we read a number in another way than the library, and why that is meant.
ZEROS = "people abroad write 00 for the plus, whatever a country's own prefix is (011, 0011, 010)"
BRACKETS = "(0) is for home alone; dropped also where a country has no trunk prefix or keeps its 0"
LENGTHS = "the seed's lengths are narrower than the library's, which takes what no one dials"
KNOWN: dict[tuple[str, str], str] = {
    ("AU", "zeros for the plus"): ZEROS,
    ("JP", "zeros for the plus"): ZEROS,
    ("SG", "zeros for the plus"): ZEROS,
    ("TW", "zeros for the plus"): ZEROS,
    ("US", "zeros for the plus"): ZEROS,
    ("ES", "trunk prefix in brackets"): BRACKETS,
    ("IT", "trunk prefix in brackets"): BRACKETS,
    ("SG", "trunk prefix in brackets"): BRACKETS,
    ("US", "trunk prefix in brackets"): BRACKETS,
    ("DE", "too few digits"): LENGTHS,
    ("DE", "far too long"): LENGTHS,
    ("JP", "far too long"): LENGTHS,
    ("DE", "code without a plus"): "German numbers have 5 to 13 digits, so 49… may be one of them",
}


@dataclass(frozen=True)
class Typed:
    """A number as somebody typed it, in a form of a country."""

    region: str
    form: str
    text: str
    country: str


def numbers_of(region: str, rng: random.Random) -> Iterator[phonenumbers.PhoneNumber]:
    """Valid numbers of a country, mobile and not."""
    for kind in KINDS:
        example = phonenumbers.example_number_for_type(region, kind)
        found = 0
        while found < 3:
            digits = str(example.national_number)
            changed = digits[:-5] + "".join(rng.choices("0123456789", k=5))
            number = phonenumbers.PhoneNumber(
                country_code=example.country_code,
                national_number=int(changed),
                italian_leading_zero=example.italian_leading_zero,
            )
            if phonenumbers.is_valid_number_for_region(number, region):
                found += 1
                yield number


def forms_of(region: str, number: phonenumbers.PhoneNumber) -> Iterator[tuple[str, str, str]]:
    """Form, text and country given."""
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    abroad = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    home = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    code = f"+{number.country_code}"
    digits = re.sub(r"\D", "", home)
    other = OUTSIDE.get(region, "GB")
    yield "e164", e164, region
    yield "international with blanks", abroad, region
    yield "international with dashes", abroad.replace(" ", "-"), region
    yield "zeros for the plus", "00" + e164[1:], region
    yield "code without a plus", e164[1:], region
    yield "national", home, region
    yield "national, bare digits", digits, region
    yield "national with dots", home.replace(" ", "."), region
    yield "trunk prefix in brackets", f"{code} (0){e164[len(code) :]}", region
    yield "trunk prefix after the code", f"{code}{digits}", region
    yield "national in Persian digits", digits.translate(PERSIAN), region
    yield "national in Arabic digits", digits.translate(ARABIC), region
    yield "national in full width", digits.translate(FULL_WIDTH), region
    yield "international in full width", e164.translate(FULL_WIDTH), region
    yield "international in Persian digits", "+" + e164[1:].translate(PERSIAN), region
    yield "international, another country's form", abroad, other
    yield "international, no country", e164, ""
    yield "national, no country", home, ""
    yield "too few digits", e164[:6], region
    yield "far too long", e164 + "1234567", region


def typed_numbers() -> list[Typed]:
    rng = random.Random(3)
    return [
        Typed(region, form, text, country)
        for region in REGIONS
        for number in numbers_of(region, rng)
        for form, text, country in forms_of(region, number)
    ]


def expected(typed: Typed) -> str | None:
    """The library's E.164; none where it is no possible number."""
    try:
        number = phonenumbers.parse(typed.text, typed.country or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@pytest.fixture(scope="module")
def normalised(dbt: Dbt, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Typed, str]]:
    """Each typed number with what staging makes of it."""
    home = make_home(tmp_path_factory.mktemp("phones"))
    typed = typed_numbers()
    put(
        home,
        "shopify/customer_address",
        "addresses.csv",
        [
            {"id": number, "customer_id": "1", "phone": each.text, "country_code": each.country}
            for number, each in enumerate(typed)
        ],
    )
    dbt.build(home, ["+stg_shopify__customer_addresses"])
    rows = query(
        home.warehouse,
        "select cast(shopify_address_id as bigint), phone "
        "from staging.stg_shopify__customer_addresses",
    )
    found = dict(rows)
    assert len(found) == len(typed) > 1000
    return [(each, found[number]) for number, each in enumerate(typed)]


def test_phones_are_read_as_the_library_reads_them(normalised: list[tuple[Typed, str]]) -> None:
    differing: dict[tuple[str, str], tuple[str, str, str | None]] = {}
    for typed, ours in normalised:
        wanted = expected(typed)
        reading = ours if ours.startswith("+") else None
        if reading != wanted:
            differing[typed.region, typed.form] = (typed.text, ours, wanted)
    new = [f"{key}: {differing[key]}" for key in sorted(differing) if key not in KNOWN]
    assert new == [], "\n".join(new)
    assert set(KNOWN) - set(differing) == set(), "these agree now: take them from the table"


def test_no_digit_typed_is_lost(normalised: list[tuple[Typed, str]]) -> None:
    for typed, ours in normalised:
        assert re.fullmatch(r"\+?\d+", ours), typed


FOLDS = {
    "Nguyễn Đặng": "nguyen dang",
    "NGUYỄN  THỊ  ÁNH": "nguyen thi anh",
    "Trương Vĩnh Ký": "truong vinh ky",
    "Ưng Hoàng Phúc": "ung hoang phuc",
    "Bùi Thị Mỹ Lệ": "bui thi my le",
    "Zoë Müller": "zoe muller",
    "François Señor Åsa": "francois senor asa",
    "علي": "علی",
    "مي‌خوانم": "میخوانم",
    "ＬＩＮ　ＣＨＥＮ": "lin chen",
    "林小美": "林小美",
    "  Lan  ": "lan",
}
EMAILS = {
    " Linh@Example.COM ": "linh@example.com",
    "ｌｉｎｈ＠example.com": "linh@example.com",
    "li​nh@example.com﻿": "linh@example.com",
    "   ": None,
}
NUMBERS = {"17850.0": "17850", " 12346.00 ": "12346", "100": "100", "A10.5": "A10.5", "": None}


CODES = {"85123a": "85123A", "straße": "STRAßE", "": ""}
LOWERED = {"İZMİR": "izmir", "ΟΔΟΣ": "οδοσ", "ABC": "abc"}
DATES = {
    "1990-05-01": "1990-05-01",
    "1990-05-01T23:30:00Z": "1990-05-01",
    **dict.fromkeys(["1990", "1990-05", "1990/05/01", "1990-05-01abc", "1990-02-30", ""]),
}
AMOUNTS = {
    **{"12.34565": "12.3457", "-.5": "-0.5000", "+7.": "7.0000"},
    **{"1.5e3": "1500.0000", "6e-10": "0.0000"},
    **dict.fromkeys(["1_000", "1,000", "0x1", "1e30", "", " 1"]),
}


def made_by(dbt: Dbt, macro: str, given: Iterable[str]) -> dict[str, str | None]:
    """What a macro makes of each text."""
    name, _, more = macro.partition("|")
    call = f"{name}('given'{', ' + repr(more) if more else ''})"
    inline = f"select {{{{ {call} }}}} as made from (select ? as given)"
    ended = dbt.invoke(dbt.home, AS_OF, ["compile", "--inline", inline])
    code = str(ended.result.results[0].node.compiled_code)
    with duckdb.connect() as connection:
        rows = {text: connection.execute(code, [text]).fetchall() for text in given}
    return {text: None if row[0][0] is None else str(row[0][0]) for text, row in rows.items()}


@pytest.mark.parametrize(
    ("macro", "wanted"),
    [
        ("fold_name", FOLDS),
        ("normalise_email", EMAILS),
        ("normalise_number_text", NUMBERS),
        ("upper_code", CODES),
        ("lower_case", LOWERED),
        ("typed|date", DATES),
        ("typed|decimal(18,4)", AMOUNTS),
    ],
)
def test_text_is_spelled_one_way(dbt: Dbt, macro: str, wanted: dict[str, str | None]) -> None:
    assert made_by(dbt, macro, wanted) == wanted


def test_every_vietnamese_letter_loses_its_marks_and_only_those(dbt: Dbt) -> None:
    letters = [chr(code) for code in range(0x1EA0, 0x1EFA)] + list("ĂăĐđĨĩŨũƠơƯưÀàÁáÂâÃãÈèÉéÊêÝý")
    plain = {
        letter: unicodedata.normalize("NFD", letter.lower()).replace("đ", "d")[0]
        for letter in letters
    }
    assert made_by(dbt, "fold_name", letters) == plain


def test_every_translation_has_as_many_letters_as_replacements() -> None:
    """A shorter list would silently drop letters; only dropping on purpose is an empty list."""
    code = (PROJECT / "macros/identifiers/normalisers.sql").read_text(encoding="utf-8")
    code = re.sub(r"\{#.*?#\}", "", code, flags=re.DOTALL)
    pairs = re.findall(r"'([^']*)'\s*,\s*'([^']*)'\s*\)", code)
    translations = [(a, b) for a, b in pairs if b and not a.startswith(("[", "\\", "+"))]
    assert len(translations) >= 4
    for letters, replacements in translations:
        assert len(letters) == len(replacements), letters
        assert len(set(letters)) == len(letters), f"a letter stands twice in {letters}"
