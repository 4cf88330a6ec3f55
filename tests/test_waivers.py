"""Waiver files: what they select, how long they hold, and what is wrong with the wrong ones. Their effect is tested with the audit."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from keymuster.errors import ContentError
from keymuster.waivers import Selector, Waiver, covered, load_waivers

RULES = ["certificate.rsa.minimum_bits"]
GOOD = """
- rule: certificate.rsa.minimum_bits
  asset: {subject: 'CN=old*'}
  reason: goes in March
  approver: ciso
  expires: 2027-03-31
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "waivers.yaml"
    path.write_text(text, "utf-8")
    return path


def waiver(**asset: str) -> Waiver:
    return Waiver(RULES[0], Selector(**asset), "reason", "ciso", date(2026, 11, 23), date(2026, 11, 1), None)


def test_a_good_file_loads(tmp_path: Path) -> None:
    (one,) = load_waivers(written(tmp_path, GOOD), rules=RULES)
    assert one.expires == date(2027, 3, 31)
    assert one.words == "goes in March (approved by ciso until 2027-03-31)"
    assert load_waivers(written(tmp_path, ""), rules=RULES) == ()


def test_the_shipped_folder_loads() -> None:
    assert isinstance(load_waivers(rules=RULES), tuple)


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        (datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 1, tzinfo=UTC), True),
        (datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 24, tzinfo=UTC), False),
    ],
)
def test_it_holds_from_the_first_to_the_last_day(moment: datetime, holds: bool) -> None:
    assert waiver(subject="*").in_force(moment) is holds


def test_selectors_fit_all_their_patterns_without_regard_to_case() -> None:
    table = {
        "subject": pa.array(["CN=old.example", "CN=OLD.x", None, "CN=new"]),
        "station": pa.array(["dmz", "lan", "dmz", "dmz"]),
        "san_names": pa.array([["a.example", "b.example"], [], None, ["c[1].example"]], pa.list_(pa.string())),
    }

    def fits(**asset: str) -> list[bool]:
        return covered(waiver(**asset), table.get, 4).tolist()

    assert fits(subject="cn=old*") == [True, True, False, False]
    assert fits(subject="cn=old*", station="DMZ") == [True, False, False, False]
    assert fits(san_names="b.*") == [True, False, False, False]
    assert fits(san_names="c[[]1].example") == [False, False, False, True]
    assert fits(server_name="*") == [False] * 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  expires: 2027-03-31\n", "", "waiver 1: expires: Field required"),
        ("minimum_bits", "minimum_bit", "no rule named 'certificate.rsa.minimum_bit'; did you mean 'certificate.rsa.minimum_bits'?"),
        ("{subject: 'CN=old*'}", "{}", "asset: names no asset"),
        ("subject:", "subjects:", "asset.subjects: Extra inputs"),
        ("  approver: ciso", "  approver: ciso\n  granted: 2028-01-01", "lies before granted"),
        ("2027-03-31", "never", "expires: Input should be a valid date"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ContentError) as caught:
        load_waivers(path, rules=RULES)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_what_is_no_list_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="waivers are a list"):
        load_waivers(written(tmp_path, "rule: x"), rules=RULES)
    with pytest.raises(ContentError, match="does not exist"):
        load_waivers(tmp_path / "none.yaml", rules=RULES)
