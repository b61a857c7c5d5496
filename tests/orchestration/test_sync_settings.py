"""Settings and connections: strict, and silent about values."""

import json
from pathlib import Path
from typing import Any

import pytest
from sync_fixtures import MESSAGE, MIRROR, sync_home  # noqa: F401

from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.syncs.connections import load_connections, resolve_secret
from orchestration.syncs.settings import SettingsError, load_syncs, read_sync


def write_manifest(path: Path, **syncs: Any) -> Path:
    nodes = {
        f"model.cdp.{name}": {
            "resource_type": "model",
            "name": name,
            "description": f"About {name}.",
            "config": {"meta": {"sync": meta} if meta is not None else {}},
        }
        for name, meta in syncs.items()
    }
    nodes["test.cdp.x"] = {"resource_type": "test", "name": "x", "config": {"meta": {"sync": {}}}}
    path.write_text(json.dumps({"nodes": nodes}))
    return path


def test_syncs_come_from_the_manifest(tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path / "manifest.json", sync_b__x=MIRROR, sync_a__x=MESSAGE, customers=None
    )
    first, second = load_syncs(manifest)
    assert (first.name, second.name) == ("sync_a__x", "sync_b__x")
    assert (first.relation, first.description) == ("activation.sync_a__x", "About sync_a__x.")
    assert (first.min_rows, second.min_rows) == (0, 1)
    assert (first.removes_leavers, second.removes_leavers) == (False, True)
    assert first.meta.guards.max_delete_pct == 20 and first.meta.retry.across_runs == 10


def test_no_sync_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"No model has config\.meta\.sync"):
        load_syncs(write_manifest(tmp_path / "manifest.json", customers=None))
    with pytest.raises(SettingsError, match="has not parsed"):
        load_syncs(tmp_path / "none.json")


def test_two_mirrors_of_one_object_are_refused(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "manifest.json", sync_b__x=MIRROR, sync_a__x=MIRROR)
    with pytest.raises(SettingsError, match="already mirrored by sync_a__x"):
        load_syncs(manifest)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, r"meta\.sync\.version"),
        ({"destinatoin": "x"}, r"meta\.sync\.destinatoin: Extra inputs"),
        ({"consent": None}, r"meta\.sync\.consent"),
        ({"consent": {}}, r"meta\.sync\.consent: give channel and purpose, or exempt"),
        ({"consent": {"channel": "email"}}, "give channel and purpose"),
        ({"consent": {"exempt": "no"}}, r"meta\.sync\.consent\.exempt"),
        ({"consent": {"exempt": "long enough reason", "purpose": "x"}}, "not both"),
        ({"mode": "upsert"}, r"meta\.sync\.mode"),
        ({"object": "../../etc/passwd"}, r"meta\.sync\.object"),
        ({"fields": {"a": 'x" from secrets --'}}, r"meta\.sync\.fields\.a"),
        ({"key": "x; drop"}, r"meta\.sync\.key"),
        ({"on_exit": "remove"}, "a message cannot be taken back"),
        ({"fields": {"customer_id": "customer_id"}}, "is the key"),
        ({"guards": {"max_delete_pct": 120}}, r"meta\.sync\.guards\.max_delete_pct"),
        ({"limits": {"batch": 0}}, r"meta\.sync\.limits\.batch"),
        ({"retry": {"in_run": 0}}, r"meta\.sync\.retry\.in_run"),
    ],
)
def test_faults_name_the_model_and_the_key(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as error:
        read_sync("sync_email__welcome", "", {**MESSAGE, **changes})
    assert "Model sync_email__welcome" in str(error.value)


def test_settings_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(SettingsError, match="must hold keys and values"):
        read_sync("sync_x", "", "mailman")


def connections(home: Home, text: str) -> dict[str, Any]:
    home.connections.write_text(text)
    return load_connections(home)


def test_connections_are_read_and_secrets_resolved(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_connections(home) == {}
    found = connections(
        home,
        """
        email: {type: smtp, host: mail.example, port: 587, sender: shop@shop.example,
                starttls: true, username: shop, password: '${env:CDP_SMTP_PASSWORD}'}
        demo: {type: smtp, sender: shop@shop.example, embedded: true, maildir: outbox/maildir}
        csv_drop: {type: file, folder: outbox/drop}
        """,
    )
    assert [found[name].type for name in ("email", "demo", "csv_drop")] == ["smtp", "smtp", "file"]
    monkeypatch.setenv("CDP_SMTP_PASSWORD", "one")
    assert resolve_secret(home, "${env:CDP_SMTP_PASSWORD}") == "one"
    (home.root / "password").write_text("two\n")
    assert resolve_secret(home, "${file:password}") == "two"
    with pytest.raises(CdpError, match="does not exist"):
        resolve_secret(home, "${file:nothing}")


@pytest.mark.parametrize(
    "text",
    [
        "email: {type: smtp, host: h, port: 1, sender: s@s.example, username: u,"
        " password: hunter2-canary}",
        "email: {type: smtp, host: h, port: 1, sender: s@s.example, username: u,"
        " password: '${env:X}hunter2-canary'}",
        "email: {type: smtp, host: h, port: hunter2-canary, sender: s@s.example}",
        "email: {type: smtp, host: h, port: 1, sender: s@s.example, hunter2: hunter2-canary}",
        "email: {type: hunter2-canary}",
        "email: {password: 'hunter2-canary",
        "email: {type: smtp, sender: s@s.example, embedded: true}",
        "email: {type: smtp, sender: s@s.example, embedded: true, maildir: m, host: h}",
        "email: {type: smtp, sender: s@s.example}",
        "email: {type: smtp, host: h, port: 1, sender: s@s.example, username: only}",
        "email: {type: file}",
        "- email",
    ],
)
def test_wrong_connections_are_refused_without_showing_values(home: Home, text: str) -> None:
    with pytest.raises(CdpError, match=r"connections\.yml") as error:
        connections(home, text)
    assert "canary" not in str(error.value)
    assert error.value.__cause__ is None
