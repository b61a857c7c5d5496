"""Graphs of identifiers as a company's customers make them, at any size, the same for one seed.

At scale 1 about a million edges: persons of 2 to 60 identifiers (each new identifier seen beside
a random earlier one, and a quarter as many edges again), chains of cookies of up to 5,000,
devices that 300 to 8,000 people share, and phones of whole households.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
SEED = 20_261_101
PERSONS = 305_000
# Few identifiers for most: of this tail, one person in a hundred has more than twenty.
TAIL = 1.9
SMALLEST, LARGEST = 2, 60
EXTRA_EDGES = 0.25
HOUSEHOLDS = 0.02
# Who meets a shared device at all: fewer people, so the devices join up to one giant component.
HUB_VISITORS = 0.2
HUBS = np.geomspace(300, 8_000, 21).astype(np.int64)
CHAINS = (5_000, 3_000, 2_000, 1_000, 500, 300, 200, 100)


def company(scale: float, *, ordered: bool = False, seed: int = SEED) -> Ids:
    """Distinct edges (u < v), in no order; ids in order of creation, or hashed to 60 bits."""
    random = np.random.default_rng(seed)
    edges = np.concatenate(list(_parts(scale, random)), axis=1)
    ids = edges if ordered else hashed(edges)
    return random.permutation(_distinct(ids), axis=1)


def path(length: int) -> Ids:
    """A chain whose ids lie in order along it: what passes a label on one step a round fears."""
    nodes = np.arange(1, length + 1, dtype=np.int64)
    return np.stack([nodes[:-1], nodes[1:]])


def a_day_more(nodes: Ids, components: Ids, share: float = 0.001, seed: int = SEED) -> Ids:
    """New edges of solved nodes: half to new nodes, a tenth between any two, which mostly merges
    components, the rest within a component."""
    random = np.random.default_rng(seed)
    order = np.lexsort((nodes, components))
    nodes, components = nodes[order], components[order]
    places = random.choice(len(nodes) - 1, round(len(nodes) * share), replace=False)
    chance = random.random(len(places))
    others = np.where(
        chance < 0.5,
        hashed(nodes[places]),
        np.where(
            chance < 0.6,
            random.choice(nodes, len(places)),
            # The next in order, or the one before where that is another component's.
            nodes[places + np.where(components[places + 1] == components[places], 1, -1)],
        ),
    )
    ends = np.stack([nodes[places], others])
    return np.stack([ends.min(axis=0), ends.max(axis=0)])[:, ends[0] != ends[1]]


def hashed(numbers: Ids) -> Ids:
    """60 bits of a bijective mixer (Steele, Lea and Flood's SplitMix64)."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(4)).astype(np.int64)


def _parts(scale: float, random: np.random.Generator) -> Iterator[Ids]:
    persons = round(PERSONS * scale)
    sizes = np.clip(SMALLEST * random.random(persons) ** (-1 / TAIL), SMALLEST, LARGEST)
    sizes = sizes.astype(np.int64)
    ends = np.cumsum(sizes)
    count = int(ends[-1])
    firsts = ends - sizes
    start = np.repeat(firsts, sizes)
    size = np.repeat(sizes, sizes)
    nodes = np.arange(count, dtype=np.int64)
    later = nodes > start
    yield np.stack([start + _below(nodes - start, random), nodes])[:, later]

    again = later & (random.random(count) < EXTRA_EDGES)
    yield np.stack([start[again] + _below(size[again], random), nodes[again]])

    phones = count + np.arange(round(persons * HOUSEHOLDS), dtype=np.int64)
    for _ in range(2):
        yield np.stack([random.integers(0, count, len(phones)), phones])
    count += len(phones)

    visitors = firsts[: round(persons * HUB_VISITORS)]
    for hub in np.tile(HUBS, max(round(scale), 1)) if scale >= 1 else HUBS[: round(21 * scale)]:
        yield np.stack([random.choice(visitors, hub), np.full(hub, count, dtype=np.int64)])
        count += 1

    for length in CHAINS * max(round(scale), 1):
        yield path(length) + count
        count += length + 1


def _below(limits: Any, random: np.random.Generator) -> Ids:
    return (random.random(len(limits)) * limits).astype(np.int64)


def _distinct(edges: Ids) -> Ids:
    low, high = np.minimum(*edges), np.maximum(*edges)
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    kept = low < high
    kept[1:] &= (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return np.stack([low[kept], high[kept]])
