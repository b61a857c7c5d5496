"""The kinds of things that people share, and in which degrees two of them can agree.

A kind prepares columns once per person (in DuckDB) and compares two people by SQL over these
columns that DuckDB and Spark read alike: equality, `levenshtein`, `length`, `substr`, `least`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

# A level's condition from the comparison's name and its number, which most have not.
Condition = Callable[[str, int], str]


@dataclass(frozen=True)
class Test:
    """One degree of agreement: its condition, the number it needs, the value rarity goes by."""

    condition: Condition
    needs: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Kind:
    """Parts that come in, columns made of them in steps, keys for blocking, and the tests.

    Each step reads what the steps before it made: an expression of a macro's argument would be
    worked out again wherever the macro reads it.
    """

    roles: tuple[str, ...]
    steps: tuple[Mapping[str, str], ...]
    keys: tuple[str, ...]
    unknown: Condition
    tests: Mapping[str, Test]

    @property
    def features(self) -> Mapping[str, str]:
        """The columns of the last step, which are compared."""
        return self.steps[-1]


def same(name: str, feature: str, other: str | None = None) -> str:
    """Equal on both sides; null is equal to nothing."""
    return f"{name}_{feature}_l = {name}_{other or feature}_r"


def close(name: str, feature: str, letters: int, other: str | None = None) -> str:
    """At most one edit in so many letters of the shorter; so short names must be equal."""
    left, right = f"{name}_{feature}_l", f"{name}_{other or feature}_r"
    return f"levenshtein({left}, {right}) * {letters} <= least(length({left}), length({right}))"


def either_null(name: str, *features: str) -> str:
    """One of the people does not tell any of these."""
    return " and ".join(
        f"({name}_{feature}_l is null or {name}_{feature}_r is null)" for feature in features
    )


def _name_parts(name: str, alike: Callable[[str, str | None], str], joint: str) -> str:
    """A condition on given and family names, the one with the other as well."""
    straight = f" {joint} ".join((alike("given", "given"), alike("family", "family")))
    crossed = f" {joint} ".join((alike("given", "family"), alike("family", "given")))
    return f"({straight}) or ({crossed})"


def _same_name(name: str, _: int) -> str:
    """Marks that only one of them writes are no difference; other marks are another name."""
    marks = " or ".join(
        (
            same(name, "marked"),
            f"{name}_marked_l = {name}_key_l",
            f"{name}_marked_r = {name}_key_r",
        )
    )
    return f"{same(name, 'key')} and ({marks})"


def _similar_name(name: str, letters: int) -> str:
    """Both parts similar; whole names where one of them is written in a single field."""
    parts = _name_parts(
        name, lambda one, other: close(name, f"{one}_signs", letters, f"{other}_signs"), "and"
    )
    undivided = " or ".join(
        f"{name}_{part}_{side} is null" for part in ("given", "family") for side in "lr"
    )
    whole = " or ".join(
        close(name, one, letters, other)
        for one, other in (("whole", "whole"), ("whole", "crossed"), ("crossed", "whole"))
    )
    return f"{parts} or (({undivided}) and ({whole}))"


def _initial(name: str, _: int) -> str:
    """J. Smith and John Smith."""
    return (
        f"{same(name, 'family')} and "
        f"({name}_initial_l = substr({name}_given_r, 1, 1)"
        f" or {name}_initial_r = substr({name}_given_l, 1, 1))"
    )


def _one_known(name: str, _: int) -> str:
    """One part equal, the other not told by one of them."""
    untold = " or ".join(
        f"{name}_{part}_{side} is null" for part in ("given", "family") for side in "lr"
    )
    return f"({untold}) and ({_one_same(name, 0)})"


def _one_same(name: str, _: int) -> str:
    return _name_parts(name, lambda one, other: same(name, one, other), "or")


def _one_similar(name: str, letters: int) -> str:
    return _name_parts(
        name, lambda one, other: close(name, f"{one}_signs", letters, f"{other}_signs"), "or"
    )


def _swapped_date(name: str, _: int) -> str:
    """Day and month the wrong way round."""
    left, right = f"{name}_digits_l", f"{name}_digits_r"
    return (
        f"substr({left}, 1, 4) = substr({right}, 1, 4)"
        f" and substr({left}, 5, 2) = substr({right}, 7, 2)"
        f" and substr({left}, 7, 2) = substr({right}, 5, 2)"
    )


def _edits(feature: str) -> Condition:
    return lambda name, most: f"levenshtein({name}_{feature}_l, {name}_{feature}_r) <= {most}"


def _equal(feature: str) -> Condition:
    return lambda name, _: same(name, feature)


def _close(feature: str) -> Condition:
    return lambda name, letters: close(name, feature, letters)


def _nulls(*features: str) -> Condition:
    return lambda name, _: either_null(name, *features)


def _place(name: str) -> str:
    """Postal code or town agrees, or neither can be compared."""
    unknown = either_null(name, "postal", "city")
    return f"({_in_one_country(name, 'postal')} or {_in_one_country(name, 'city')} or ({unknown}))"


def _in_one_country(name: str, feature: str) -> str:
    """Equal, and not in two countries: postal codes are given out in each anew."""
    return f"({same(name, feature)} and coalesce({same(name, 'country')}, true))"


def _same_address(name: str, _: int) -> str:
    return f"{same(name, 'line')} and {_place(name)}"


def _similar_address(name: str, letters: int) -> str:
    """Much the same line with the same numbers: next door is not the same address."""
    numbers = f"coalesce({name}_numbers_l, '') = coalesce({name}_numbers_r, '')"
    return f"{close(name, 'line_signs', letters)} and {numbers} and {_place(name)}"


NAME = Kind(
    roles=("given", "family", "full"),
    steps=(
        {"given": "coalesce({given}, {full})", "family": "{family}"},
        {"given": "spelled({given})", "family": "spelled({family})"},
        {
            "given_marked": "{given}",
            "family_marked": "{family}",
            "given": "unmarked({given})",
            "family": "unmarked({family})",
        },
        {
            "given_marked": "letters({given_marked})",
            "family_marked": "letters({family_marked})",
            "given": "left(letters({given}), 80)",
            "family": "left(letters({family}), 80)",
        },
        {
            "given": "{given}",
            "family": "{family}",
            "marked": "left(coalesce({given_marked}, '') || coalesce({family_marked}, ''), 80)",
            "whole": "left(coalesce({given}, '') || coalesce({family}, ''), 80)",
            "given_signs": "signs({given})",
            "family_signs": "signs({family})",
        },
        {
            "given": "{given}",
            "family": "{family}",
            "key": "turned(nullif({whole}, ''))",
            "marked": "turned(nullif({marked}, ''))",
            "given_signs": "{given_signs}",
            "family_signs": "{family_signs}",
            "whole": "left(coalesce({given_signs}, '') || coalesce({family_signs}, ''), 80)",
            "crossed": "left(coalesce({family_signs}, '') || coalesce({given_signs}, ''), 80)",
            "initial": (
                "case when length({given}) = 1 and {given} between 'a' and 'z' then {given} end"
            ),
            "low": "least({given}, {family})",
            "high": "greatest({given}, {family})",
        },
    ),
    keys=("key", "given", "family", "low", "high"),
    unknown=_nulls("key"),
    tests={
        "same": Test(_same_name, value="key"),
        "similar": Test(_similar_name, needs="one_edit_in"),
        "initial": Test(_initial),
        "one_known": Test(_one_known),
        "given": Test(_equal("given")),
        "family": Test(_equal("family")),
        "one_same": Test(_one_same),
        "one_similar": Test(_one_similar, needs="one_edit_in"),
    },
)

DATE = Kind(
    roles=("value",),
    steps=(
        {"value": "spelled(left({value}, 10))"},
        {"value": "regexp_replace({value}, '[^0-9]', '', 'g')"},
        {
            "digits": "case when length({value}) = 8 then {value} end",
            "year": "case when length({value}) = 8 then left({value}, 4) end",
        },
    ),
    keys=("digits", "year"),
    unknown=_nulls("digits"),
    tests={
        "same": Test(_equal("digits"), value="digits"),
        "swapped": Test(_swapped_date),
        "edits": Test(_edits("digits"), needs="at_most"),
        "year": Test(_equal("year")),
    },
)

EMAIL = Kind(
    roles=("value",),
    steps=(
        {"value": "spelled({value})"},
        {"value": r"nullif(regexp_replace({value}, '\s', '', 'g'), '')"},
        {
            "address": "{value}",
            # What follows a plus, and dots, are one's own affair in most mailboxes.
            "local": "replace(regexp_replace(split_part({value}, '@', 1), '[+].*', ''), '.', '')",
        },
        {"address": "{address}", "local": "nullif(left({local}, 80), '')"},
        {"address": "{address}", "local": "{local}", "local_signs": "signs({local})"},
    ),
    keys=("address", "local"),
    unknown=_nulls("address"),
    tests={
        "same": Test(_equal("address"), value="address"),
        "local": Test(_equal("local"), value="local"),
        "edits": Test(_edits("local_signs"), needs="at_most"),
    },
)

PHONE = Kind(
    roles=("value",),
    steps=(
        {"value": "spelled({value})"},
        {"value": "left(regexp_replace({value}, '[^0-9]', '', 'g'), 20)"},
        {
            # One digit over and over is typed where a number was demanded.
            "number": (
                "case when length({value}) >= 7 and replace({value}, right({value}, 1), '') <> ''"
                " then {value} end"
            ),
        },
        {
            "number": "{number}",
            # Without what stands for the country or for "from within it".
            "tail": "case when length({number}) >= 9 then right({number}, 9) end",
        },
    ),
    keys=("number", "tail"),
    unknown=_nulls("number"),
    tests={
        "same": Test(_equal("number"), value="number"),
        "tail": Test(_equal("tail")),
        "edits": Test(_edits("number"), needs="at_most"),
    },
)

ADDRESS = Kind(
    roles=("line", "city", "postal", "country"),
    steps=(
        {role: f"spelled({{{role}}})" for role in ("line", "city", "postal", "country")},
        {role: f"words(unmarked({{{role}}}))" for role in ("line", "city", "postal", "country")},
        {
            "line": "left(sorted_words({line}), 200)",
            "plain": "left(replace({line}, ' ', ''), 100)",
            "numbers": "array_to_string(list_sort(regexp_extract_all({line}, '[0-9]+')), ' ')",
            "city": "left(replace({city}, ' ', ''), 80)",
            "postal": "left(replace({postal}, ' ', ''), 20)",
            "country": "left(replace({country}, ' ', ''), 60)",
        },
        {
            "line": "{line}",
            "line_signs": "signs({plain})",
            "numbers": "{numbers}",
            "city": "{city}",
            "postal": "{postal}",
            "country": "{country}",
        },
    ),
    keys=("line", "city", "postal"),
    unknown=_nulls("line", "postal", "city"),
    tests={
        "same": Test(_same_address, value="line"),
        "similar": Test(_similar_address, needs="one_edit_in"),
        "line": Test(_equal("line")),
        "postal": Test(lambda name, _: _in_one_country(name, "postal")),
        "city": Test(lambda name, _: _in_one_country(name, "city")),
    },
)

TEXT = Kind(
    roles=("value",),
    steps=(
        {"value": "spelled({value})"},
        {"value": "unmarked({value})"},
        {"value": "left(letters({value}), 200)"},
        {"value": "{value}", "signs": "left(signs({value}), 100)"},
    ),
    keys=("value",),
    unknown=_nulls("value"),
    tests={
        "same": Test(_equal("value"), value="value"),
        "similar": Test(_close("signs"), needs="one_edit_in"),
        "edits": Test(_edits("signs"), needs="at_most"),
    },
)

KINDS: Mapping[str, Kind] = {
    "name": NAME,
    "date": DATE,
    "email": EMAIL,
    "phone": PHONE,
    "address": ADDRESS,
    "text": TEXT,
}
