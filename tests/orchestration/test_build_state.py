"""What must be built again, what must not be published, and which syncs only wait."""

from collections.abc import Callable

import pytest
from support import AS_OF

from orchestration.build_state import begin_build, end_build, forget_build, last_build, record_build
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.pipeline import reason_to_build
from orchestration.project import code_hash
from orchestration.publish.publish import built_as_of, publish
from orchestration.syncs.send import send
from orchestration.syncs.settings import load_syncs


def test_rows_that_landed_after_the_last_build_are_built(
    sample_home: Home, copy_home: Callable[[Home], Home]
) -> None:
    home = copy_home(sample_home)
    assert reason_to_build(home, AS_OF) is None

    forget_build(home)

    assert reason_to_build(home, AS_OF) is not None


def test_a_build_that_was_killed_is_made_again_and_not_published(
    sample_home: Home, copy_home: Callable[[Home], Home]
) -> None:
    home = copy_home(sample_home)
    before = home.private_file.read_bytes()

    begin_build(home)

    assert last_build(home) is None
    assert reason_to_build(home, AS_OF) is not None
    with pytest.raises(CdpError, match="did not finish"):
        publish(home, AS_OF, "any")
    assert home.private_file.read_bytes() == before

    end_build(home)
    record_build(home, AS_OF, code_hash(home))

    assert reason_to_build(home, AS_OF) is None


def test_publishing_speaks_of_the_day_the_warehouse_was_built_for(sample_home: Home) -> None:
    assert built_as_of(sample_home) == AS_OF


def test_a_home_without_a_warehouse_says_what_to_do(empty_home: Home) -> None:
    with pytest.raises(CdpError, match="cdp run"):
        built_as_of(empty_home)


def test_a_sync_without_its_word_or_connection_waits_and_fails_no_run(
    sample_home: Home, copy_home: Callable[[Home], Home]
) -> None:
    home = copy_home(sample_home)
    for path in home.state.glob("activation.sqlite*"):
        path.unlink()
    maildir = home.outbox / "maildir" / "new"
    held = len(list(maildir.iterdir()))
    for sync in load_syncs(home.manifest):
        unconfirmed = send(home, sync)
        assert unconfirmed.is_waiting and unconfirmed.fault is None
        assert unconfirmed.result is not None and "confirm" in (unconfirmed.result.reason or "")

    home.connections.unlink()
    for sync in load_syncs(home.manifest):
        unconnected = send(home, sync, confirm_first_run=True)
        assert unconnected.is_waiting and unconnected.fault is None

    assert len(list(maildir.iterdir())) == held


def test_the_payload_page_shows_every_sync(sample_home: Home) -> None:
    page = (sample_home.reports / "payloads.html").read_text()

    assert all(sync.name in page for sync in load_syncs(sample_home.manifest))
