"""Contact points to which nothing is sent any more: kept beside the ledger, read by every send.

`state/privacy/suppressions.json` holds them encrypted with CDP_LEDGER_KEY; it is what counts.
Landing writes them into `raw_privacy.suppressions`, so that `contact_permissions` gives the
reason, and a send asks here too: it must not wait for the next build.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import pyarrow as pa

from orchestration.home import Home
from orchestration.privacy.tombstones import privacy_folder, write_private
from orchestration.syncs.ledger import Keys
from orchestration.warehouse.base import Warehouse

ContactPoint = tuple[str, str]
PLACE = ("raw_privacy", "suppressions")
COLUMNS = {
    "contact_point_type": "varchar",
    "contact_point": "varchar",
    "suppressed_at": "timestamp",
}


def read_suppressions(home: Home) -> dict[ContactPoint, datetime]:
    """Each suppressed contact point and since when."""
    path = home.state / "privacy" / "suppressions.json"
    if not path.exists():
        return {}
    keys = Keys.of(home)
    found = {}
    for told in json.loads(path.read_text()):
        point_type, point = json.loads(keys.decrypt(told["contact_point"].encode()))
        found[point_type, point] = datetime.fromisoformat(told["suppressed_at"])
    return found


def suppress(home: Home, points: Iterable[ContactPoint], now: datetime) -> int:
    """Suppress contact points; gives how many were not."""
    known = read_suppressions(home)
    fresh = {point: now for point in points if point not in known}
    _write(home, {**known, **fresh})
    return len(fresh)


def unsuppress(home: Home, points: Iterable[ContactPoint]) -> int:
    """Let contact points be sent to again where consent allows it; gives how many were not."""
    known = read_suppressions(home)
    wanted = set(points)
    kept = {point: since for point, since in known.items() if point not in wanted}
    if len(kept) < len(known):
        _write(home, kept)
    return len(known) - len(kept)


def land_suppressions(home: Home, warehouse: Warehouse) -> bool:
    """Make the raw table what is suppressed now; True where it was not."""
    warehouse.ensure_table(*PLACE, COLUMNS)
    known = read_suppressions(home)
    rows = warehouse.rows(
        f"select contact_point_type, contact_point from {warehouse.place(*PLACE)}"
    )
    if {(row[0], row[1]) for row in rows} == known.keys():
        return False
    listed = sorted(known.items())
    table = pa.table(
        {
            "contact_point_type": pa.array([point[0] for point, _ in listed], pa.string()),
            "contact_point": pa.array([point[1] for point, _ in listed], pa.string()),
            "suppressed_at": pa.array(
                [since.astimezone(UTC).replace(tzinfo=None) for _, since in listed],
                pa.timestamp("us"),
            ),
        }
    )
    with warehouse.transaction():
        warehouse.replace(*PLACE, table)
    return True


def _write(home: Home, points: dict[ContactPoint, datetime]) -> None:
    keys = Keys.of(home)
    told = [
        {
            "contact_point": keys.encrypt(json.dumps(point, ensure_ascii=False)).decode(),
            "suppressed_at": since.astimezone(UTC).isoformat(timespec="seconds"),
        }
        for point, since in sorted(points.items())
    ]
    write_private(privacy_folder(home) / "suppressions.json", json.dumps(told, indent=1).encode())
