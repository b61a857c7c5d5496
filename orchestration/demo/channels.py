"""What the further sources share: who may appear in them, and how their tables are written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from orchestration.demo.company_settings import Settings
from orchestration.demo.delivery import (
    DAY,
    HOUR,
    Flags,
    History,
    Ints,
    Output,
    Periods,
    Plan,
    maybe,
    plan_delivery,
)  # fmt: skip
from orchestration.demo.people import GUEST, LOYAL, People
from orchestration.demo.shop import Shop, customer_ids
from orchestration.demo.web import Web

# An array of numpy or of Arrow.
Column = Any
Choices = Sequence[tuple[str, str]]


def between(rng: np.random.Generator, low: Ints, high: Ints | int) -> Ints:
    """A time at random from `low` until `high`, `low` itself where that lies later."""
    room = np.maximum(high - low, 0)
    return low + (rng.random(len(low)) * room).astype(np.int64)


def some(rng: np.random.Generator, size: int, share: float, least: int = 0) -> Ints:
    """The places of a share of `size` things, of at least so many if there are any."""
    wanted = min(max(round(size * share), least), size)
    return np.sort(rng.choice(size, wanted, replace=False)) if wanted else np.zeros(0, np.int64)


def pick(words: Sequence[str | None], index: Ints) -> pa.Array:
    """The words at these places."""
    return pa.array(words, pa.string()).take(pa.array(index))


@dataclass
class Channels:
    """What every further source is made from, and what they tell of the people."""

    people: People
    shop: Shop
    web: Web
    settings: Settings
    history: History
    output: Output
    seed: int
    everywhere: Flags
    told: list[pa.Table] = field(default_factory=list)

    @property
    def rates(self) -> dict[str, float]:
        return self.settings.channels

    @property
    def last(self) -> int:
        """The latest time at which anything happens."""
        return self.history.end - HOUR

    @property
    def periods(self) -> Periods:
        return self.history.by_half_year()

    @property
    def contact(self) -> Ints:
        """When the shop first knew each person."""
        return np.where(self.people.account, self.shop.opened, self.shop.first_order)

    @property
    def own_email(self) -> Flags:
        """The people who give an address of their own: not the office's, not junk."""
        people = self.people
        guest = (people.kind == GUEST) & (people.office < 0) & (people.junk != 1)
        return people.account | guest

    @property
    def reachable(self) -> Flags:
        """Known people who have an address or a number to be told apart by."""
        return self.own_email | (self.people.known & self.people.has_phone)

    def choose(self, rng: np.random.Generator, able: Flags, share: float) -> Ints:
        """A share of the able people, and always those who are everywhere."""
        candidates = np.flatnonzero(able & ~self.everywhere)
        chosen = candidates[some(rng, len(candidates), share, 2)]
        return np.sort(np.concatenate([chosen, np.flatnonzero(self.everywhere)]))

    def accounts(self, person: Ints, tells: Flags) -> pa.Array:
        """The shop's customer ids of those who tell it; of account holders alone."""
        return maybe(customer_ids(person), tells & (person >= 0) & self.people.account[person])

    def write(
        self,
        rng: np.random.Generator,
        table: str,
        select: str,
        times: Ints,
        columns: dict[str, Column],
        person: Ints | None = None,
        words: str = "",
        key: str | None = None,
        broken: Choices = (),
        record: str = "",
    ) -> None:
        """Plan the delivery of rows, put them into words by `select` and write their files.

        Beside its columns and the people's words the query sees each row's number `n`, its own
        time `moment` and the time `synced` at which the connector read it. `record` names the
        key columns of the table if its rows say who somebody is; rows of nobody have person -1.
        """
        source, name = table.split(".")
        base, plan = self.base(rng, times, columns, person, words, bool(broken))
        rendered = self.output.render(f"select {select} from base", base=base)
        if record and person is not None:
            self.record(source, name, rendered, plan, person, record)
        self.output.write_csv_files(source, name, rendered, plan, self.periods, key, broken)

    def base(
        self,
        rng: np.random.Generator,
        times: Ints,
        columns: dict[str, Column],
        person: Ints | None = None,
        words: str = "",
        breaks: bool = False,
    ) -> tuple[pa.Table, Plan]:
        """The rows in the order of their delivery, and the plan of it."""
        rates = self.settings.rows if breaks else {**self.settings.rows, "malformed": 0.0}
        plan = plan_delivery(rng, times, self.periods, rates)
        if not breaks and plan.broken.any():
            # The plan breaks at least one row of a large table; there is nothing to break here.
            kept = ~plan.broken
            plan = Plan(plan.row[kept], plan.period[kept], plan.delivered[kept], plan.broken[kept])
        taken: dict[str, Any] = {"n": plan.row, "moment": times[plan.row], "synced": plan.delivered}
        for name, values in columns.items():
            if isinstance(values, np.ndarray):
                taken[name] = values[plan.row]
            else:
                taken[name] = values.take(pa.array(plan.row))
        if person is not None and words:
            who = person[plan.row]
            found = self.people.words.select(words.split()).take(maybe(who, who >= 0))
            taken.update({name: found[name] for name in found.column_names})
        return pa.table(taken), plan

    def record(
        self, source: str, table: str, rendered: pa.Table, plan: Plan, person: Ints, key: str
    ) -> None:
        """The key of each record once, with the person behind it."""
        known = np.flatnonzero(~plan.broken & (person[plan.row] >= 0))
        keys = rendered.select(key.split()).take(pa.array(known))
        keys = keys.append_column("_person", pa.array(person[plan.row[known]]))
        keys = keys.append_column("_place", pa.array(plan.row[known]))
        columns = ", ".join(f'"{column}"' for column in key.split())
        found = self.output.render(
            f"select concat_ws('|', {columns}) as key, min(_person) as person from keys "
            "group by 1 order by min(_place)",
            keys=keys,
        )
        self.output.record(source, table, found["key"], found["person"].to_numpy())

    def tell(self, identifier_type: str, value: str, person: Ints, **columns: Column) -> None:
        """Note identifiers for the truth: `value` in SQL, as the platform spells it."""
        base = pa.table({"person": person, **columns}).filter(pa.array(person >= 0))
        self.told.append(
            self.output.render(
                f"select distinct '{identifier_type}' as identifier_type, "
                f"cast({value} as varchar) as identifier_value, person from base order by all",
                base=base,
            )
        )


def choose_everywhere(
    rng: np.random.Generator, people: People, shop: Shop, settings: Settings, history: History
) -> Flags:
    """Loyal account holders who take part in everything, without a trouble if there are any."""
    able = people.account & people.has_phone & (people.kind == LOYAL)
    plain = ~people.family_member & (people.office < 0) & (people.junk == 0) & (people.tablet < 0)
    plain &= ~people.two_emails & (shop.opened < history.end - 180 * DAY)
    wanted = max(math.ceil(settings.channels["omnichannel"] * len(people)), 3)
    best = able & plain if int((able & plain).sum()) >= wanted else able
    candidates = np.flatnonzero(best)
    chosen = np.zeros(len(people), dtype=bool)
    chosen[rng.choice(candidates, min(wanted, len(candidates)), replace=False)] = True
    return chosen
