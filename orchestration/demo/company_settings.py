"""The sample company's settings, with the floors below which it would prove nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestration.errors import CdpError

SETTINGS_FILE = Path(__file__).with_name("company.yml")

# The least share of each trouble that a claim about the platform may rest on.
FLOORS: dict[str, dict[str, float]] = {
    "people": {
        "shared_device": 0.01,
        "family_phone": 0.02,
        "office_mailbox": 0.005,
        "junk_value": 0.01,
        "name_typo": 0.03,
        "two_emails": 0.05,
    },
    "rows": {"duplicate": 0.01, "late": 0.02},
}
_SECTIONS: dict[str, set[str]] = {
    "sizes": {
        "months", "daily_web_days", "products", "markets", "kinds",
        "erp_share_of_gb", "erp_linked", "erp_guest_invoices",
    },
    "people": set(FLOORS["people"]),
    "rows": {"duplicate", "late", "malformed"},
    "orders": {
        "cancelled", "refunded", "partly_refunded", "gift", "account_as_guest", "test",
        "point_of_sale",
    },
    "web": {"browse_sessions", "abandoned", "abandoned_this_week", "several_browsers"},
    "consent": {"asked", "subscribed", "withdrawn", "expiring", "phone_asked"},
    "channels": {
        "omnichannel", "bot_visits", "pos_receipts", "pos_returns", "pos_unknown",
        "pos_unknown_sku", "points_paid", "loyalty_members", "signed_up_at_till", "coupons",
        "subscribers", "lost_subscriptions", "crm_contacts", "crm_merged", "mail_profiles",
        "service_users", "line_tw", "line_vn", "line_second_provider", "social_profiles",
        "social_email", "surveyed", "clicks_untold", "third_party_rows",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The sections of `company.yml`, checked."""

    sizes: dict[str, Any]
    people: dict[str, float]
    rows: dict[str, float]
    orders: dict[str, float]
    web: dict[str, float]
    consent: dict[str, float]
    channels: dict[str, float]


def read_settings(path: Path = SETTINGS_FILE) -> Settings:
    """The settings in `path`; a missing, unknown or too low one raises by its name."""
    loaded = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if set(loaded) != set(_SECTIONS):
        raise CdpError(f"{path.name} must have exactly the sections {sorted(_SECTIONS)}.")
    for section, names in _SECTIONS.items():
        if set(loaded[section]) != names:
            wrong = sorted(set(loaded[section]) ^ names)
            raise CdpError(f"{path.name}, {section}: missing or unknown settings {wrong}.")
    for section, floors in FLOORS.items():
        for name, floor in floors.items():
            if not floor <= float(loaded[section][name]) <= 0.25:
                raise CdpError(
                    f"{path.name}, {section}.{name} is {loaded[section][name]}; "
                    f"keep it between the floor {floor} and 0.25."
                )
    for name, share in loaded["channels"].items():
        if not 0 < float(share) < 1:
            raise CdpError(f"{path.name}, channels.{name} is {share}; keep it between 0 and 1.")
    for name in ("markets", "kinds"):
        if abs(sum(loaded["sizes"][name].values()) - 1) > 1e-9:
            raise CdpError(f"{path.name}, sizes.{name}: the shares must add up to 1.")
    return Settings(**loaded)
