"""The checks that no declaration implies: a measure, a limit and the words for both."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WrittenCheck:
    """One measure that must not exceed its limit."""

    name: str
    measure: str
    description: str
    limit: float = 0.0
    severity: str = "error"
    is_share: bool = False


LANDED_FILES = (
    WrittenCheck("no_file_is_refused", "refused_files", "no file had to be refused as a whole"),
    WrittenCheck(
        "rejected_share_is_small",
        "rejected_share",
        "at most {limit:.0%} of the landed rows are rejected",
        limit=0.01,
        is_share=True,
    ),
    WrittenCheck(
        "every_row_is_accounted_for",
        "unaccounted_rows",
        "landed rows = loaded + rejected + duplicate + suppressed",
    ),
    WrittenCheck(
        "no_file_is_without_rows", "empty_files", "every file that was read holds rows", 0.0, "warn"
    ),
    WrittenCheck(
        "duplicate_share_is_small",
        "duplicate_share",
        "at most {limit:.0%} of the landed rows came before",
        limit=0.5,
        severity="warn",
        is_share=True,
    ),
    WrittenCheck(
        "no_unknown_columns",
        "unknown_columns",
        "no file has columns that the declaration does not know",
        severity="warn",
    ),
    WrittenCheck(
        "times_are_not_in_the_future",
        "future_share",
        "at most {limit:.0%} of the rows speak of days after the landing's own",
        limit=0.01,
        severity="warn",
        is_share=True,
    ),
)

ROW_RULES = {
    "ragged": "as many fields as the header",
    "encoding": "UTF-8 text",
    "quote": "quotes inside a quoted field are doubled",
    "unterminated_quote": "a quote that opens also closes",
    "field_too_long": "no field longer than a million characters",
    "nul": "no NUL bytes",
    "json": "valid JSON",
}

PAYLOAD = (
    WrittenCheck(
        "permitted_rows_have_a_contact_point",
        "permitted_without_contact",
        "a row without a reason for withholding has a contact point",
    ),
    WrittenCheck(
        "withheld_rows_have_no_contact_point",
        "withheld_with_contact",
        "a row with a reason for withholding carries no contact point",
    ),
)
