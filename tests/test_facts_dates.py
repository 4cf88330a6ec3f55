"""Facts that are differences of instants: to the second, with both kinds of missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fact_runs import run

AS_OF = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def one(fact: str, table: str, as_of: datetime = AS_OF, **row: Any) -> Any:
    return run(fact, table, [row], as_of=as_of)[0]


@pytest.mark.parametrize(
    ("left", "days"), [(timedelta(0), 0.0), (DAY, 1.0), (-SECOND, -1 / 86_400), (timedelta(hours=12), 0.5), (36_500 * DAY, 36_500.0)]
)
def test_days_left_of_a_certificate(left: timedelta, days: float) -> None:
    assert one("certificates__days_left", "certificates", not_after=AS_OF + left) == pytest.approx(days)


def test_the_last_second_of_a_validity_counts_to_its_end() -> None:
    late = AS_OF + timedelta(microseconds=999_999)
    assert one("certificates__days_left", "certificates", late, not_after=AS_OF) == 0
    assert one("certificates__days_left", "certificates", AS_OF + SECOND, not_after=AS_OF) < 0


@pytest.mark.parametrize(
    ("seconds", "days"),
    [(0, 1), (86_399, 1), (86_400, 2), (398 * 86_400 - 1, 398), (398 * 86_400, 399), (200 * 86_400 - 1, 200), (-1, 0), (-86_402, -1)],
)
def test_validity_counts_as_the_baseline_requirements_do(seconds: int, days: int) -> None:
    start = at(2026, 3, 15)
    assert one("validity_days", "certificates", not_before=start, not_after=start + timedelta(seconds=seconds)) == days


def test_validity_up_to_the_year_9999() -> None:
    start, end = at(2026, 1, 1), at(9999, 12, 31, 23, 59, 59)
    assert one("validity_days", "certificates", not_before=start, not_after=end) == (end - start).days + 1


def test_issued_at_prefers_the_earliest_sct() -> None:
    rows = [
        {"not_before": at(2026, 1, 2), "earliest_sct_at": at(2026, 1, 1)},
        {"not_before": at(2026, 1, 2), "earliest_sct_at": None},
        {"not_before": at(2026, 1, 2)},
        {"not_before": None, "earliest_sct_at": None},
    ]
    assert run("issued_at", "certificates", rows) == [at(2026, 1, 1), at(2026, 1, 2), None, None]


def test_sct_offset_is_a_distance() -> None:
    rows = [
        {"not_before": at(2026, 1, 1), "earliest_sct_at": at(2026, 1, 1, 1, 30)},
        {"not_before": at(2026, 1, 1, 1, 30), "earliest_sct_at": at(2026, 1, 1)},
        {"not_before": at(2026, 1, 1), "earliest_sct_at": None},
    ]
    assert run("sct_offset_hours", "certificates", rows) == [1.5, 1.5, None]


@pytest.mark.parametrize(
    ("issued", "seconds", "short"),
    [
        (at(2024, 3, 14, 23, 59, 59), 86_400, False),
        (at(2024, 3, 15), 864_000, True),
        (at(2024, 3, 15), 864_001, False),
        (at(2026, 3, 14, 23, 59, 59), 864_000, True),
        (at(2026, 3, 15), 604_800, True),
        (at(2026, 3, 15), 604_801, False),
    ],
)
def test_short_lived(issued: datetime, seconds: int, short: bool) -> None:
    row = {"not_before": issued, "not_after": issued + timedelta(seconds=seconds - 1), "issued_at": issued}
    assert one("is_short_lived", "certificates", **row) is short


@pytest.mark.parametrize("gone", ["not_before", "not_after", "issued_at"])
def test_short_lived_needs_all_dates(gone: str) -> None:
    row = {"not_before": at(2026, 4, 1), "not_after": at(2026, 4, 5), "issued_at": at(2026, 4, 1), gone: None}
    assert one("is_short_lived", "certificates", **row) is None


@pytest.mark.parametrize(
    ("left", "length", "scaled"), [(3.0, 6, 45.0), (30.0, 398, 30.0), (30.0, 90, 30.0), (-1.0, 6, -15.0), (2.0, 0, 2.0), (1.0, None, None)]
)
def test_days_left_on_the_scale_of_ninety_days(left: float, length: int | None, scaled: float | None) -> None:
    assert one("days_left_scaled", "certificates", days_left=left, validity_days=length) == scaled


@pytest.mark.parametrize(
    ("start", "left", "status", "live"),
    [
        (AS_OF, 0.0, "good", True),
        (AS_OF, 0.0, None, True),
        (AS_OF + SECOND, 1.0, "good", False),
        (AS_OF, -0.1, "good", False),
        (AS_OF, 1.0, "revoked", False),
        (AS_OF, 1.0, "revoked_key_compromise", False),
        (None, -1.0, None, False),
        (AS_OF, None, None, None),
        (AS_OF, None, "revoked", False),
    ],
)
def test_live(start: datetime | None, left: float | None, status: str | None, live: bool | None) -> None:
    assert one("is_live", "certificates", not_before=start, days_left=left, revocation_status=status) is live


def test_seconds_until_valid() -> None:
    assert one("seconds_until_valid", "certificates", not_before=AS_OF + 300 * SECOND) == 300
    assert one("seconds_until_valid", "certificates", not_before=AS_OF - SECOND) == -1


@pytest.mark.parametrize("table", ["keys", "credentials", "ssh_keys"])
def test_lifecycle(table: str) -> None:
    row = {"created_at": AS_OF - 90 * DAY, "expires_at": AS_OF + 10 * DAY, "last_used_at": AS_OF - 45 * DAY}
    assert one("age_days", table, **row) == 90
    assert one("lifetime_days", table, **row) == 100
    assert one("days_left", table, **row) == 10
    assert one("idle_days", table, **row) == 45
    assert one("idle_days", table, **row | {"last_used_at": AS_OF - 45 * DAY - SECOND}) > 45


def test_never_used_counts_from_the_creation_and_not_recorded_does_not() -> None:
    rows = [
        {"created_at": AS_OF - 100 * DAY, "last_used_at": None},
        {"created_at": AS_OF - 100 * DAY},
        {"created_at": None, "last_used_at": None},
    ]
    assert run("idle_days", "credentials", rows, as_of=AS_OF) == [100, None, None]


def test_no_end_date_is_no_number() -> None:
    rows = [{"created_at": AS_OF, "expires_at": None}, {"created_at": AS_OF}]
    assert run("days_left", "keys", rows, as_of=AS_OF) == [None, None]
    assert run("lifetime_days", "keys", rows, as_of=AS_OF) == [None, None]


@pytest.mark.parametrize(
    ("used", "expires", "late"), [(AS_OF, AS_OF, True), (AS_OF - SECOND, AS_OF, False), (None, AS_OF, False), (AS_OF, None, None)]
)
def test_used_after_expiry(used: datetime | None, expires: datetime | None, late: bool | None) -> None:
    assert one("is_used_after_expiry", "keys", last_used_at=used, expires_at=expires) is late


@pytest.mark.parametrize(
    ("fact", "table", "column"),
    [
        ("days_since_success", "stations", "last_success_at"),
        ("days_since_performed", "attestations", "performed_at"),
        ("revocation_check_age_days", "certificates", "revocation_checked_at"),
    ],
)
def test_days_since(fact: str, table: str, column: str) -> None:
    assert run(fact, table, [{column: AS_OF - 7 * DAY}, {column: None}, {column: AS_OF - 7 * DAY - SECOND}], as_of=AS_OF) == [
        7,
        None,
        pytest.approx(7 + 1 / 86_400, abs=1e-9),
    ]


def test_revocation_lists() -> None:
    row = {"this_update_at": AS_OF - DAY, "next_update_at": AS_OF + DAY}
    assert one("hours_to_next_update", "revocation_services", **row) == 24
    assert one("validity_hours", "revocation_services", **row) == 48
    assert one("validity_hours", "revocation_services", **row | {"next_update_at": None}) is None
