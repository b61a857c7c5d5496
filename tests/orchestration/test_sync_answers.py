"""What the engine makes of a tool's answers, with a tool that answers as told."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from sync_fixtures import (
    drop_connection,
    mirror_sync,
    people,
    publish,
    quick,
    run,
    sync_home,  # noqa: F401
)

from orchestration.destinations.base import (
    Answer,
    BatchRefused,
    BatchResult,
    Change,
    DestinationSpec,
    Limits,
    RowOutcome,
    SendContext,
    Stopped,
)
from orchestration.home import Home
from orchestration.syncs import engine
from orchestration.syncs.ledger import Ledger

TABLE = "sync_csv_drop__vip"
Answers = Callable[[Sequence[Change]], list[RowOutcome]]


class Tool:
    """A list that takes batches of ten and remembers who is on it."""

    def __init__(self, answers: Answers | None = None) -> None:
        self.answers = answers
        self.held: set[str] = set()
        self.calls: list[int] = []
        self.spec = DestinationSpec(
            "file", Limits(10), "natural_key", "leave_out", "atomic", "unsupported"
        )

    def send(self, batch: Sequence[Change], context: SendContext) -> BatchResult:
        self.calls.append(len(batch))
        if self.answers is not None:
            return BatchResult(tuple(self.answers(batch)))
        return BatchResult(tuple(self.take(change) for change in batch))

    def take(self, change: Change) -> RowOutcome:
        if change.operation == "delete":
            self.held.discard(change.dest_key)
        else:
            self.held.add(change.dest_key)
        return RowOutcome(change.change_id, Answer.ACKED)


@pytest.fixture
def use_tool(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tool], None]:
    def use(tool: Tool) -> None:
        @contextmanager
        def opened(*_: object) -> Iterator[Tool]:
            yield tool

        monkeypatch.setattr(engine, "open_destination", opened)

    return use


def test_silence_about_a_row_is_not_success(home: Home, use_tool: Callable[[Tool], None]) -> None:
    """A 200 with no word about a row has been counted as delivered elsewhere."""
    publish(home, people(4), TABLE)
    tool = Tool(lambda batch: [])
    use_tool(tool)
    first = run(home, mirror_sync(), drop_connection())
    assert (first.status, first.counts["acked"], first.counts["unknown"]) == ("partial", 0, 4)
    assert tool.calls == [4, 4, 4], "a natural key makes a repeat harmless"
    tool.answers = None
    second = run(home, mirror_sync(), drop_connection())
    assert (second.status, second.counts["acked"]) == ("succeeded", 4)


def test_a_refused_batch_is_halved_until_the_bad_rows_are_alone(
    home: Home, use_tool: Callable[[Tool], None]
) -> None:
    publish(home, people(40), TABLE)
    tool = Tool()
    bad = {"c003", "c017", "c018"}

    def answers(batch: Sequence[Change]) -> list[RowOutcome]:
        if bad & {change.dest_key for change in batch}:
            raise BatchRefused("invalid_row", "One row is wrong.", 400)
        return [tool.take(change) for change in batch]

    tool.answers = answers
    use_tool(tool)
    result = run(home, mirror_sync(), drop_connection())
    assert (result.counts["acked"], result.counts["rejected"]) == (37, 3)
    assert len(tool.held) == 37 and len(tool.calls) < 25
    with Ledger.open(home) as ledger:
        rejected = ledger.table("select customer_id from outbox where state = 'rejected'")
        assert {customer_id for (customer_id,) in rejected} == bad
    calls = len(tool.calls)
    assert run(home, mirror_sync(), drop_connection()).counts["rejected"] == 3
    assert len(tool.calls) == calls, "they cool down"


def test_refused_credentials_stop_at_once_and_cost_no_row(
    home: Home, use_tool: Callable[[Tool], None]
) -> None:
    publish(home, people(25), TABLE)
    tool = Tool()

    def answers(batch: Sequence[Change]) -> list[RowOutcome]:
        if len(tool.calls) == 2:
            raise Stopped("authentication_failed", "The tool refuses the key.")
        return [tool.take(change) for change in batch]

    tool.answers = answers
    use_tool(tool)
    first = run(home, mirror_sync(), drop_connection())
    assert (first.status, first.reason_code) == ("failed", "authentication_failed")
    assert (first.counts["acked"], first.counts["deferred"], len(tool.calls)) == (10, 15, 2)
    tool.answers = None
    assert run(home, mirror_sync(), drop_connection()).counts["acked"] == 15
    assert len(tool.held) == 25


def test_a_tool_that_asks_for_time_gets_it(home: Home, use_tool: Callable[[Tool], None]) -> None:
    publish(home, people(2), TABLE)
    tool = Tool()
    asked = [7.0]

    def answers(batch: Sequence[Change]) -> list[RowOutcome]:
        if len(tool.calls) == 1:
            return [
                RowOutcome(change.change_id, Answer.RETRY, 429, retry_after=asked[0])
                for change in batch
            ]
        return [tool.take(change) for change in batch]

    tool.answers = answers
    use_tool(tool)
    slept: list[float] = []
    result = run(home, mirror_sync(), drop_connection(), surroundings=quick(slept=slept))
    assert (result.status, slept) == ("succeeded", [7.0])
    # More than a run can wait for: the next run continues.
    publish(home, people(3), TABLE)
    asked[0], slept[:] = 3600.0, []
    tool.calls.clear()
    result = run(home, mirror_sync(), drop_connection(), surroundings=quick(slept=slept))
    assert (result.counts["deferred"], slept, tool.calls) == (1, [], [1])


def test_an_unclear_add_is_removed_when_its_person_leaves(
    home: Home, use_tool: Callable[[Tool], None]
) -> None:
    """The tool has them, its answer was lost, a repeat is refused: they must still go."""
    publish(home, people(4), TABLE)
    tool = Tool()
    use_tool(tool)
    run(home, mirror_sync(), drop_connection())
    publish(home, people(5), TABLE)

    def answers(batch: Sequence[Change]) -> list[RowOutcome]:
        if len(tool.calls) == 2:
            for change in batch:
                tool.take(change)
            return []
        return [RowOutcome(change.change_id, Answer.REJECTED, 422) for change in batch]

    tool.answers = answers
    assert run(home, mirror_sync(), drop_connection()).counts["rejected"] == 1
    tool.answers = None
    publish(home, people(4), TABLE)
    assert run(home, mirror_sync(), drop_connection()).counts["delete"] == 1
    assert tool.held == {"c001", "c002", "c003", "c004"}


def test_removals_go_first(home: Home, use_tool: Callable[[Tool], None]) -> None:
    publish(home, people(3), TABLE)
    tool = Tool()
    use_tool(tool)
    run(home, mirror_sync(), drop_connection())
    seen: list[str] = []
    tool.answers = lambda batch: [
        (seen.append(change.operation), tool.take(change))[1] for change in batch
    ]
    publish(home, people(3, start=3), TABLE)
    run(home, mirror_sync(), drop_connection())
    assert seen == ["delete", "delete", "insert", "insert"]
