"""The product master: what both shop and tills sell, and a few things of the ledger."""

import numpy as np

from orchestration.demo import names
from orchestration.demo.channels import Channels, pick, some
from orchestration.demo.delivery import DAY, HOUR
from orchestration.demo.other_sources import CODES, ITEMS
from orchestration.demo.shop import money_text, time_text

FIRST_LEDGER_SKU = 9_001
LEDGER_SKUS = 15
PRICE_DAYS = 60
SEASONS = ("2025-SS", "2025-AW", "2026-SS", "2026-AW")


def sku_text(column: str) -> str:
    """SQL for a product's code, as shop, tills and master share it."""
    return f"'SKU-' || lpad(cast({column} as varchar), 4, '0')"


def make_catalogue(rng: np.random.Generator, channels: Channels) -> None:
    """One row per code, a second version of some, and their price and stock day by day."""
    shop, history = channels.shop, channels.history
    count = shop.prices.shape[1]
    things = [(word, kind) for kind, words in names.CATEGORIES.items() for word in words.split()]
    titles = [
        f"{names.ADJECTIVES[i // len(things) % 5]} {things[i % len(things)][0]}"
        for i in range(count)
    ]
    kinds = [things[i % len(things)][1] for i in range(count)]
    brands = [names.BRANDS[i % len(names.BRANDS)] for i in range(count)]
    titles += [name for name, _ in ITEMS[:LEDGER_SKUS]]
    kinds += ["Home"] * LEDGER_SKUS
    brands += [names.BRANDS[0]] * LEDGER_SKUS
    codes: list[str | None] = [None] * count + list(CODES[:LEDGER_SKUS])
    number = np.concatenate([np.arange(count), FIRST_LEDGER_SKU + np.arange(LEDGER_SKUS)])
    price = np.concatenate([shop.prices[3], np.array([p for _, p in ITEMS[:LEDGER_SKUS]])])
    total = len(number)
    ends = (number % 41 == 7) & (number + 1 < count)
    created = np.full(total, history.start + HOUR)
    again = some(rng, total, 0.25)
    changed = created[again] + DAY + (
        rng.random(len(again)) * (channels.last - created[again] - DAY)
    ).astype(np.int64)  # fmt: skip
    row = np.concatenate([np.arange(total), again])
    second = np.arange(len(row)) >= total
    # A dearer list price is what a second version is for, as a rule.
    list_price = np.where(second & (row % 3 > 0), price[row] * 110 // 100, price[row])
    channels.write(
        rng,
        "pim.products",
        f"""
        {sku_text("sku")} as sku, code as erp_stock_code, title as name, category, brand, season,
        case when ends then {sku_text("sku + 1")} end as successor_sku,
        {money_text("price")} as list_price, 'GBP' as currency, 'false' as is_deleted,
        {time_text("moment")} as updated_at
        """,
        np.concatenate([created, changed]),
        {
            "sku": number[row],
            "code": pick(codes, row),
            "title": pick(titles, row),
            "category": pick(kinds, row),
            "brand": pick(brands, row),
            "season": pick(SEASONS, row * 7 % len(SEASONS)),
            "ends": ends[row],
            "price": list_price,
        },
        key="sku",
        broken=[("list_price", "dear"), ("currency", "ZZZ")],
    )
    _write_price_stock(rng, channels, number, price)


def _write_price_stock(
    rng: np.random.Generator, channels: Channels, number: np.ndarray, price: np.ndarray
) -> None:
    """Sixty days: a few prices change, stock sells, runs out and is filled up again."""
    total = len(number)
    stock = rng.integers(10, 200, total)
    levels = np.zeros((PRICE_DAYS, total), dtype=np.int64)
    for night in range(PRICE_DAYS):
        stock = np.maximum(stock - rng.integers(0, 7, total), 0)
        stock = np.where((stock == 0) & (rng.random(total) < 0.3), 120, stock)
        levels[night] = stock
    changes = np.full(total, PRICE_DAYS)
    chosen = some(rng, total, 0.3)
    changes[chosen] = rng.integers(1, PRICE_DAYS, len(chosen))
    day = np.arange(PRICE_DAYS)[:, None]
    cut = np.where(day >= changes, 80, 100)
    prices = np.maximum(price * cut // 100, 1)
    begun = channels.history.end - PRICE_DAYS * DAY
    times = np.repeat(begun + np.arange(PRICE_DAYS) * DAY + 22 * HOUR, total)
    channels.write(
        rng,
        "pim.price_stock",
        f"""
        {sku_text("sku")} as sku, strftime(epoch_ms(moment), '%Y-%m-%d') as day,
        {money_text("price")} as price, 'GBP' as currency, cast(stock as varchar) as stock_quantity,
        {time_text("moment")} as updated_at
        """,
        times,
        {
            "sku": np.tile(number, PRICE_DAYS),
            "price": prices.reshape(-1),
            "stock": levels.reshape(-1),
        },
        key="sku",
        broken=[("price", "dear"), ("day", "someday"), ("currency", "ZZZ")],
    )
