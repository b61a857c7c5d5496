"""The file drop: a whole version or the one before, cells that run nothing, no old people kept."""

import csv
import json
import os
from pathlib import Path

import pytest
from sync_fixtures import (
    drop_connection,
    mirror_sync,
    people,
    publish,
    quick,
    read_drop,
    run,
    sync_home,  # noqa: F401
)

from orchestration.destinations.base import Answer, Change, Member, SendContext, Stopped
from orchestration.destinations.file_drop import FileDropDestination
from orchestration.home import Home

TABLE = "sync_csv_drop__vip"


def context(number: int, *members: Member) -> SendContext:
    return SendContext(
        run_id=f"20261101T12000{number}000000Z-00ff",
        sync="sync_csv_drop__vip",
        key_name="customer_id",
        columns=("phone", "note"),
        members=members,
    )


def upsert(key: str, phone: str | None = None, note: str | None = None) -> Change:
    return Change(f"change-{key}", "insert", "idem", key, None, {"phone": phone, "note": note})


def removal(key: str) -> Change:
    return Change(f"change-{key}", "delete", "idem", key, None, {})


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("+84912345678", "+84912345678"),
        ("-12.50", "-12.50"),
        ("=1+1", "'=1+1"),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("+84912345678\n=1", "'+84912345678\n=1"),
        ('Lê "Bảo", 美玲', 'Lê "Bảo", 美玲'),
        ("two\nlines", "two\nlines"),
        (None, ""),
    ],
)
def test_cells_run_nothing_and_phone_numbers_survive(
    tmp_path: Path, value: str | None, written: str
) -> None:
    drop = FileDropDestination(tmp_path, "vip")
    member = Member("c1", {"phone": value, "note": "x"})
    result = drop.send([upsert("c1", value, "x")], context(1, member))
    assert [outcome.answer for outcome in result.outcomes] == [Answer.ACKED]
    manifest = json.loads(drop.manifest.read_text())
    rows = cells(tmp_path / "vip" / manifest["members"]["file"])
    assert rows == [["customer_id", "phone", "note"], ["c1", written, "x"]]


def test_versions_permissions_and_removals(tmp_path: Path) -> None:
    drop = FileDropDestination(tmp_path, "vip")
    folder = tmp_path / "vip"
    member = Member("c1", {"phone": "+84912345678", "note": "x"})
    (folder.parent / "vip-gold").mkdir()
    for number in range(1, 5):
        drop.send([upsert("c1"), removal("c2")], context(number, member))
        (folder / "vip-notes.csv").write_text("not ours")
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "manifest.json",
        "vip-20261101T120003000000Z-00ff-changes.csv",
        "vip-20261101T120003000000Z-00ff.csv",
        "vip-20261101T120004000000Z-00ff-changes.csv",
        "vip-20261101T120004000000Z-00ff.csv",
        "vip-notes.csv",
    ]
    manifest = json.loads(drop.manifest.read_text())
    assert (manifest["removals"], manifest["members"]["rows"], manifest["changes"]["rows"]) == (
        1,
        1,
        2,
    )
    assert cells(folder / manifest["changes"]["file"])[2] == ["delete", "c2", "", ""]
    for name in names[:-1]:
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_a_failure_at_any_write_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = FileDropDestination(tmp_path, "vip")
    drop.send([upsert("c1")], context(1, Member("c1", {})))
    before = drop.manifest.read_bytes()
    replaced = Path.replace
    for survive in range(3):
        left = [survive]

        def replace(source: Path, target: Path, left: list[int] = left) -> Path:
            if left[0] == 0:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            return replaced(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            result = drop.send([upsert("c2")], context(2, Member("c2", {})))
        assert [(o.answer, o.scope) for o in result.outcomes] == [(Answer.RETRY, "destination")]
        assert drop.manifest.read_bytes() == before
        manifest = json.loads(before)
        assert cells(tmp_path / "vip" / manifest["members"]["file"])[1][0] == "c1"
    drop.send([upsert("c2")], context(3, Member("c2", {})))
    assert not [path for path in (tmp_path / "vip").iterdir() if path.name.endswith(".part")]


def test_a_folder_it_may_not_write_to_stops_the_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = FileDropDestination(tmp_path, "vip")

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Stopped) as stopped:
        drop.send([upsert("c1")], context(1))
    assert str(tmp_path) not in str(stopped.value)


def test_erasing_keeps_the_person_in_no_file(tmp_path: Path) -> None:
    drop = FileDropDestination(tmp_path, "vip")
    one = Member("c1", {"phone": "+84912345678", "note": "=keep"})
    two = Member("c2", {"phone": "+84987654321", "note": "gone"})
    for number in (1, 2):
        drop.send([upsert("c1"), upsert("c2")], context(number, one, two))
    result = drop.erase(["c2"])
    assert [outcome.answer for outcome in result.outcomes] == [Answer.ACKED]
    content = b"".join(path.read_bytes() for path in (tmp_path / "vip").iterdir())
    assert b"+84987654321" not in content and b"gone" not in content
    manifest = json.loads(drop.manifest.read_text())
    assert cells(tmp_path / "vip" / manifest["members"]["file"])[1:] == [
        ["c1", "+84912345678", "'=keep"]
    ]
    assert cells(tmp_path / "vip" / manifest["changes"]["file"])[1][:2] == ["delete", "c2"]


def test_check_writes_nothing(tmp_path: Path) -> None:
    assert FileDropDestination(tmp_path / "not" / "yet", "vip").check().is_ok
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert not FileDropDestination(tmp_path / "file", "vip").check().is_ok


def test_a_mirror_follows_its_audience(home: Home) -> None:
    for audience in (people(4), people(4, start=3), people(2, start=9)):
        publish(home, audience, TABLE)
        result = run(home, mirror_sync(), drop_connection())
        assert result.status == "succeeded"
        _, members, _ = read_drop(home)
        assert [m["customer_id"] for m in members] == [p.customer_id for p in audience]
        assert [m["email"] for m in members] == [p.address for p in audience]
    assert run(home, mirror_sync(), drop_connection()).counts["calls"] == 0


def test_a_full_disk_defers_and_the_next_run_delivers(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(home, people(3), TABLE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    slept: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr("orchestration.destinations.file_drop._replace", full)
        result = run(home, mirror_sync(), drop_connection(), surroundings=quick(slept=slept))
    assert (result.status, result.counts["deferred"], len(slept)) == ("partial", 3, 2)
    assert run(home, mirror_sync(), drop_connection()).counts["acked"] == 3
