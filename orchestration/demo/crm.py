"""The CRM: contacts, two cards of one person that agents merged, engagements and deals."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.demo.channels import Channels, Choices, between, pick, some
from orchestration.demo.delivery import DAY, HOUR, MINUTE, Flags, Ints, maybe
from orchestration.demo.shop import PER_POUND, money_text, time_text

CONTACT_ID, ENGAGEMENT_ID, DEAL_ID = 51_000_000, 7_700_000_000, 9_300_000_000
COUNTRIES = ("Vietnam", "Taiwan", "Iran", "United Kingdom")
STAGES = (
    ("appointmentscheduled", "Appointment scheduled"), ("qualifiedtobuy", "Qualified to buy"),
    ("presentationscheduled", "Presentation scheduled"), ("contractsent", "Contract sent"),
    ("closedwon", "Closed won"), ("closedlost", "Closed lost"),
)  # fmt: skip
WON, LOST = 4, 5
NOTES = (
    "Asked about delivery", "Wants an invoice for the company", "Prefers calls in the evening",
    "Interested in gifts for the team", "Complained about a broken mug",
)  # fmt: skip
CALLS = ("Connected", "Left voicemail", "No answer")
MEETINGS = ("COMPLETED", "NO_SHOW", "RESCHEDULED")
SYNCED = f"{time_text('synced')} as _fivetran_synced"


@dataclass
class Contacts:
    """Columns over the CRM's cards: whose, since when, and the card that took one over."""

    person: Ints
    created: Ints
    into: Ints
    merged: Ints

    def until(self, last: int) -> Ints:
        """Until when anything happens on each card."""
        return np.where(self.into >= 0, self.merged, last)


def contact_text(column: str) -> str:
    return f"cast({CONTACT_ID} + ({column}) * 7 as varchar)"


def make_crm(rng: np.random.Generator, channels: Channels) -> None:
    """All tables of the CRM."""
    contacts = _make_contacts(rng, channels)
    _make_forms(rng, channels, contacts)
    _make_engagements(rng, channels, contacts)
    _make_deals(rng, channels, contacts)


def _make_contacts(rng: np.random.Generator, channels: Channels) -> Contacts:
    people, last = channels.people, channels.last
    person = channels.choose(rng, channels.reachable, channels.rates["crm_contacts"])
    begin = np.minimum(channels.contact[person] + HOUR, last - HOUR)
    created = begin + (rng.random(len(person)) ** 2 * (last - HOUR - begin)).astype(np.int64)
    always = channels.everywhere[person]
    created[always] = begin[always]
    # Those with a second address come first: the merge is the only thing that ties it to them.
    able = np.flatnonzero((created < last - 60 * DAY) & ~always)
    able = able[np.argsort(~people.two_emails[person[able]], kind="stable")]
    doubled = np.sort(able[: max(round(len(person) * channels.rates["crm_merged"]), 1)])
    twin_created = between(rng, created[doubled] + DAY, created[doubled] + 25 * DAY)
    merged = np.zeros(len(person) + len(doubled), dtype=np.int64)
    merged[len(person) :] = between(rng, twin_created + DAY, twin_created + 30 * DAY)
    into = np.concatenate([np.full(len(person), -1), doubled])
    contacts = Contacts(
        np.concatenate([person, person[doubled]]),
        np.concatenate([created, twin_created]),
        into,
        merged,
    )
    size = len(into)
    twin = into >= 0
    raised = contacts.created + between(rng, np.full(size, 5 * DAY), 200 * DAY)
    again = np.flatnonzero(twin | ((rng.random(size) < 0.3) & (raised < last)))
    row = np.concatenate([np.arange(size), again])
    second = np.arange(len(row)) >= size
    has_phone = people.has_phone[contacts.person]
    mail = channels.own_email[contacts.person]
    shows = has_phone & (twin | ~mail | (rng.random(size) < 0.6))
    # A twin without a second address was noted down by the phone alone.
    mail &= ~twin | people.two_emails[contacts.person] | ~has_phone
    channels.write(
        rng,
        "hubspot.contact",
        f"""
        {contact_text("number")} as id,
        case when mail and twin then coalesce(other, email_typed) when mail then email_typed end
            as property_email,
        case when shows then typed_phone(cc, nat, market, form) end as property_phone,
        given_typed as property_firstname, family_typed as property_lastname,
        'Firm ' || (office + 1) as property_company,
        case when office is not null then 'Buyer' end as property_jobtitle,
        land as property_country, stage as property_lifecyclestage,
        {time_text("created")} as property_createdate, cast(gone as varchar) as _fivetran_deleted,
        -- Versions are told apart by this time alone, so it follows the version's own.
        {time_text(f"moment + {5 * MINUTE}")} as _fivetran_synced
        """,
        np.where(second, np.where(twin, merged, raised)[row], contacts.created[row]),
        {
            "number": row,
            "mail": mail[row],
            "twin": twin[row],
            "other": _second_address(channels, contacts.person[row]),
            "shows": shows[row],
            "form": people.phone_forms(rng, contacts.person)[row],
            "office": _offices(channels, contacts.person[row]),
            "land": pick(COUNTRIES, people.market[contacts.person[row]]),
            "stage": pick(
                ("subscriber", "lead", "customer"),
                np.where(second, 2, people.kind[contacts.person[row]] % 2),
            ),
            "created": contacts.created[row],
            "gone": second & twin[row],
        },
        contacts.person[row],
        "email_typed cc nat market given_typed family_typed",
        key="id",
        broken=[("property_createdate", "in spring"), ("_fivetran_deleted", "perhaps")],
        record="id",
    )
    channels.tell(
        "hubspot_contact_id", contact_text("number"), contacts.person, number=np.arange(size)
    )
    twins = np.flatnonzero(twin)
    channels.write(
        rng,
        "hubspot.contact_merge_audit",
        f"""
        {contact_text("into_card")} as canonical_vid, {contact_text("number")} as vid_to_merge,
        {time_text("moment")} as "timestamp", 'agent-' || (number % 3 + 1) as user_id, {SYNCED}
        """,
        merged[twins],
        {"into_card": into[twins], "number": twins},
        contacts.person[twins],
        record="canonical_vid vid_to_merge",
    )
    return contacts


def _second_address(channels: Channels, person: Ints) -> pa.Array:
    """The second address of those who have one."""
    words = channels.people.words["email_b"].take(pa.array(person)).combine_chunks()
    return pc.if_else(pa.array(channels.people.two_emails[person]), words, pa.scalar(None))


def _offices(channels: Channels, person: Ints) -> pa.Array:
    office = channels.people.office[person]
    return maybe(office, office >= 0)


def _make_forms(rng: np.random.Generator, channels: Channels, contacts: Contacts) -> None:
    """Forms sent on the site by a contact, before its card went into another one."""
    card = some(rng, len(contacts.person), 0.5, 2)
    times = between(rng, contacts.created[card], contacts.until(channels.last)[card] - MINUTE)
    channels.write(
        rng,
        "hubspot.contact_form_submission",
        f"""
        'conversion-' || lpad(cast(n as varchar), 7, '0') as conversion_id,
        {contact_text("card")} as contact_id, 'form-' || (card % 3 + 1) as form_id,
        case card % 3 when 0 then 'Contact us' when 1 then 'Gifts for firms' else 'Newsletter' end
            as title,
        'https://shop.example/forms/' || (card % 3 + 1) as page_url,
        {time_text("moment")} as "timestamp", {SYNCED}
        """,
        times,
        {"card": card},
        contacts.person[card],
        key="conversion_id",
        broken=[("timestamp", "noon")],
        record="conversion_id contact_id",
    )


def _make_engagements(rng: np.random.Generator, channels: Channels, contacts: Contacts) -> None:
    """Calls, notes and meetings; each names the contacts that it is about."""
    size = len(contacts.person)
    always: Flags = channels.everywhere[contacts.person] & (contacts.into < 0)
    calls = np.concatenate([np.flatnonzero(always), some(rng, size, 0.6, 2)])
    notes, meetings = some(rng, size, 0.4, 2), some(rng, size, 0.2, 2)
    card = np.concatenate([calls, notes, meetings])
    kind = np.repeat([0, 1, 2], [len(calls), len(notes), len(meetings)])
    ends = contacts.until(channels.last)[card] - 2 * HOUR
    moment = between(rng, np.minimum(contacts.created[card], ends), ends)
    order = np.lexsort((card, kind, moment))
    card, kind, moment = card[order], kind[order], moment[order]
    number = np.arange(len(card))
    identity = f"cast({ENGAGEMENT_ID} + number * 3 as varchar) as engagement_id"
    happened = f"{time_text('moment')} as property_hs_timestamp"
    kept = f"'false' as _fivetran_deleted, {SYNCED}"
    agent = "'agent-' || (number % 3 + 1) as property_hubspot_owner_id"
    wrong = [("property_hs_timestamp", "yesterday")]

    def write(code: int, table: str, select: str, words: tuple[str, ...], broken: Choices) -> None:
        which = np.flatnonzero(kind == code)
        channels.write(
            rng,
            f"hubspot.{table}",
            select,
            moment[which],
            {
                "number": number[which],
                "length": rng.integers(20_000, 900_000, len(which)),
                "word": pick(words, rng.integers(0, len(words), len(which))),
            },
            key="engagement_id",
            broken=broken,
        )

    write(
        0,
        "engagement_call",
        f"{identity}, {happened}, cast(length as varchar) as property_hs_call_duration, "
        f"word as property_hs_call_disposition, {agent}, {kept}",
        CALLS,
        [*wrong, ("property_hs_call_duration", "long")],
    )
    write(
        1,
        "engagement_note",
        f"{identity}, {happened}, word as property_hs_note_body, {agent}, {kept}",
        NOTES,
        wrong,
    )
    write(
        2,
        "engagement_meeting",
        f"{identity}, {time_text('moment')} as start_time, "
        f"{time_text('moment + length * 4')} as end_time, word as meeting_outcome, {kept}",
        MEETINGS,
        [("start_time", "yesterday")],
    )
    channels.write(
        rng,
        "hubspot.engagement_contact",
        f"{identity}, {contact_text('card')} as contact_id, {SYNCED}",
        moment,
        {"number": number, "card": card},
    )


def _make_deals(rng: np.random.Generator, channels: Channels, contacts: Contacts) -> None:
    """Deals on their way through the stages of the pipeline, with their contacts."""
    last = channels.last
    able = np.flatnonzero((contacts.into < 0) & (contacts.created < last - DAY))
    card = able[some(rng, len(able), 0.15, 3)]
    size = len(card)
    market = channels.people.market[contacts.person[card]]
    opened = between(rng, contacts.created[card], last - 3 * HOUR)
    closes = opened + between(rng, np.full(size, 5 * DAY), 60 * DAY)
    over = closes < last
    stage = np.where(over, rng.choice([WON, WON, LOST], size), rng.integers(1, 4, size))
    moved = np.where(over, closes, between(rng, opened + MINUTE, np.full(size, last)))
    amount = np.array([round(r) * 100 for r in PER_POUND])[market] * rng.integers(50, 900, size)
    row = np.concatenate([np.arange(size), np.arange(size)])
    second = np.arange(2 * size) >= size
    channels.write(
        rng,
        "hubspot.deal",
        f"""
        cast({DEAL_ID} + number * 11 as varchar) as deal_id,
        'Gifts no. ' || (number + 1) as property_dealname,
        {money_text("amount")} as property_amount, currency as property_deal_currency_code,
        stage as deal_pipeline_stage_id,
        {time_text("opened")} as property_createdate, {time_text("closes")} as property_closedate,
        {time_text("moment")} as property_hs_lastmodifieddate, 'false' as is_deleted, {SYNCED}
        """,
        np.where(second, moved[row], opened[row]),
        {
            "number": row,
            "amount": amount[row],
            "stage": pick([name for name, _ in STAGES], np.where(second, stage[row], 0)),
            "opened": opened[row],
            "closes": closes[row],
        },
        contacts.person[card][row],
        "currency",
        key="deal_id",
        broken=[("property_amount", "lots"), ("property_createdate", "in spring")],
    )
    channels.write(
        rng,
        "hubspot.deal_contact",
        f"cast({DEAL_ID} + n * 11 as varchar) as deal_id, {contact_text('card')} as contact_id, "
        f"{SYNCED}",
        opened,
        {"card": card},
    )
    places = np.arange(len(STAGES))
    channels.write(
        rng,
        "hubspot.deal_pipeline_stage",
        f"""
        stage as stage_id, label, cast(place = {WON} as varchar) as closed_won,
        cast(place >= {WON} as varchar) as is_closed, {time_text("moment")} as updated_at,
        'false' as _fivetran_deleted, {SYNCED}
        """,
        np.full(len(STAGES), channels.history.start + HOUR),
        {
            "place": places,
            "stage": pick([name for name, _ in STAGES], places),
            "label": pick([label for _, label in STAGES], places),
        },
    )
