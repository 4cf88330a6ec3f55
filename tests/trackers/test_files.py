"""Tickets as files: what people, disks and two writers do to them."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
import yaml

from keymuster.errors import TrackerRefused
from keymuster.trackers import files
from tests.audit_results import DAY
from tests.trackers.conformance import new_key, ticket

KEY = "ab" * 16


@pytest.fixture
def settings(tmp_path: Path) -> files.Settings:
    return files.Settings(folder=tmp_path / "deep" / "tickets")


def test_front_matter_is_yaml_that_people_can_read(settings: files.Settings) -> None:
    ref = files.create(settings, ticket(KEY, title="a: 'b'\n--- #", owner="x\ny"))
    assert ref == f"{KEY}.md"
    text = (settings.folder / ref).read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == {
        "key": KEY, "status": "open", "title": "a: 'b'\n--- #", "severity": "high", "owner": "x\ny", "due": DAY.date(),
        "labels": ["keymuster", "KEY-014"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("status: open", "open"),
        ("status: in progress", "open"),
        ("Status:   CLOSED  # Jane, mended on Friday", "done"),
        ("status: 'resolved'", "done"),
        ('status: "won\'t fix"', "rejected"),
        ("status: wontfix\r", "rejected"),
        ("status:", "open"),
        ("state: closed", "open"),
    ],
)
def test_what_people_write_is_understood(settings: files.Settings, line: str, status: str) -> None:
    ref = files.create(settings, ticket(KEY))
    path = settings.folder / ref
    path.write_text(path.read_text().replace("status: open", line))
    assert files.states(settings, [ref])[ref].status == status


def test_a_file_that_people_broke_stays_open_and_can_be_closed(settings: files.Settings) -> None:
    ref = files.create(settings, ticket(KEY))
    path = settings.folder / ref
    path.write_bytes(b"somebody took the front matter away, and wrote \xff\xfe\nstatus: closed\n")
    assert files.is_open(settings, ref)
    files.close(settings, ref, "Resolved.")
    assert not files.is_open(settings, ref)
    assert b"wrote \xff\xfe\n" in path.read_bytes(), "what people wrote is kept, byte by byte"


def test_what_people_wrote_is_kept(settings: files.Settings) -> None:
    ref = files.create(settings, ticket(KEY))
    path = settings.folder / ref
    path.write_text(path.read_text().replace("labels:", "assigned: Jane # on holiday\nlabels:") + "\nI am at it.\n")
    files.comment(settings, ref, "It changed.")
    files.close(settings, ref, "Resolved.")
    text = path.read_text()
    assert "assigned: Jane # on holiday\n" in text
    assert text.index("I am at it.") < text.index("It changed.") < text.index("Resolved.")


def test_left_overs_of_a_dead_writer_are_no_tickets_and_go_away(settings: files.Settings) -> None:
    files.create(settings, ticket(KEY))
    (settings.folder / ".keymuster-dead").write_text("half a tick")
    other = new_key()
    files.create(settings, ticket(other))
    assert sorted(p.name for p in settings.folder.iterdir()) == sorted([".keymuster.lock", f"{KEY}.md", f"{other}.md"])


def _create(settings: files.Settings, number: int) -> None:
    for _ in range(number):
        files.create(settings, ticket(KEY))


def test_two_writers_overwrite_nothing(settings: files.Settings) -> None:
    workers = [multiprocessing.get_context("fork").Process(target=_create, args=(settings, 10)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(list(settings.folder.glob("*.md"))) == 20
    assert files.find(settings, KEY) == f"{KEY}-20.md"


def test_a_disk_that_refuses_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrackerRefused, match=r"file/tickets.*Not a directory"):
        files.check(files.Settings(folder=tmp_path / "file" / "tickets"))


def test_a_full_disk_leaves_the_old_file(settings: files.Settings) -> None:
    ref = files.create(settings, ticket(KEY))
    before = (settings.folder / ref).read_text()
    limit = len(before) + 10
    pid = os.fork()
    if pid == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            files.comment(settings, ref, "x" * 1000)
        except TrackerRefused:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert (settings.folder / ref).read_text() == before
    assert not list(settings.folder.glob(".keymuster-*"))
