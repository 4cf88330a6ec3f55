"""Walks folders: every file once, whatever links lead to it, within bounds, and says what it could not enter."""

from __future__ import annotations

import errno
import fnmatch
import os
import pwd
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from glob import has_magic

from keymuster.errors import Unreachable
from keymuster.model import Coverage, Problem
from keymuster.sources import _globs


@dataclass(frozen=True, slots=True)
class File:
    """A regular file that was read."""

    path: str
    """As found; of a link, the file that it leads to."""
    link: str | None
    data: bytes
    mode: int
    uid: int


@dataclass
class Tally:
    """Counts of one walk, for the coverage."""

    fetched: int = 0
    refused: int = 0
    truncated: bool = False

    def coverage(self) -> Coverage:
        """A walk announces no number, so nothing is expected."""
        return Coverage(None, self.fetched, self.refused, self.truncated)


@dataclass
class Walk:
    """One walk over paths and patterns; iterate over `files()` once, then read `tally`."""

    paths: Sequence[str]
    optional: Sequence[str] = ()
    """Paths that may be missing."""
    exclude: Sequence[str] = ()
    max_bytes: int = 8 << 20
    max_depth: int = 32
    max_files: int = 1_000_000
    is_interesting: re.Pattern[bytes] | None = None
    """Searched for in the first bytes of files longer than `max_bytes`, to tell whether one is missed."""
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        patterns = [fnmatch.translate(p) for p in self.exclude]
        self._excluded = re.compile("|".join(patterns)).match if patterns else lambda _: None
        self._seen: set[tuple[int, int]] = set()
        self._links: list[str] = []
        self._entered: set[str] = set()
        self._listed = self._missing = 0

    def files(self) -> Iterator[File | Problem]:
        """Files in the order of their names, links after files. Unreachable if none of the named paths is there."""
        roots = list(self._roots())
        if self.paths and self._missing == len(self.paths):
            raise Unreachable(f"nothing to read: none of {len(self.paths)} paths exists, {shown(self.paths[0])} for one")
        for root in roots:
            if isinstance(root, Problem):
                yield root
            else:
                yield from self._visit(root)
        links, self._links = sorted(self._links), []
        for link in links:
            yield from self._file(os.path.realpath(link), link)

    def _roots(self) -> Iterator[str | Problem]:
        """Paths that must be there, then those that may be; patterns may match nothing."""
        for path in (*self.paths, *self.optional):
            wide = os.path.abspath(path)  # noqa: PTH100 (text, since there may be a pattern in it)
            found = list(_globs.expand(wide, self._refuse))
            yield from found
            if not found and path in self.paths and not has_magic(wide):
                self.tally.truncated = True
                self._missing += 1
                yield Problem("path_missing", shown(wide), f"{shown(wide)} does not exist")

    def _visit(self, root: str) -> Iterator[File | Problem]:
        try:
            is_link, is_folder = stat.S_ISLNK(os.lstat(root).st_mode), _globs.exists(root) and _globs.is_folder(root)
        except FileNotFoundError:
            return  # a dangling link
        except OSError as error:
            yield self._refuse(root, error)
            return
        if is_folder:  # a root may be a link to a folder; links further down are not followed
            yield from self._folder(root, 0)
        elif is_link:
            self._links.append(root)
        elif not self._excluded(root):
            yield from self._file(root, None)

    def _folder(self, folder: str, depth: int) -> Iterator[File | Problem]:
        pending = [(folder, depth)]
        while pending:
            here, level = pending.pop()
            if here in self._entered or self._excluded(here) or self._excluded(here + "/"):
                continue
            self._entered.add(here)
            if level > self.max_depth:
                self.tally.truncated = True
                yield Problem("folder_too_deep", shown(here), f"deeper than {self.max_depth} folders; not entered")
                continue
            try:
                with os.scandir(here) as entries:
                    listed = sorted(entries, key=lambda e: e.name)
            except OSError as error:
                yield self._refuse(here, error)
                continue
            yield from self._entries(listed)
            inner = [(e.path, level + 1) for e in reversed(listed) if e.is_dir(follow_symlinks=False)]
            pending.extend(inner)

    def _entries(self, entries: Sequence[os.DirEntry[str]]) -> Iterator[File | Problem]:
        for entry in entries:
            if self._excluded(entry.path):
                continue
            if entry.is_symlink():
                self._links.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield from self._file(entry.path, None)

    def _file(self, path: str, link: str | None) -> Iterator[File | Problem]:
        """Open without following or waiting, then look: a name can be swapped for a FIFO between two system calls."""
        if self._listed >= self.max_files:
            if not self.tally.truncated:
                yield Problem("listing_cut", None, f"more than {self.max_files} files; the rest was not read")
            self.tally.truncated = True
            return
        self._listed += 1
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # a dangling link, or gone since it was listed: there is nothing to read
        except OSError as error:
            if link is None or error.errno not in {errno.ELOOP, errno.ENXIO}:  # a loop or a socket holds nothing
                yield self._refuse(path, error)
            return
        try:
            yield from self._read(handle, path, link)
        except OSError as error:
            yield self._refuse(path, error)
        finally:
            os.close(handle)

    def _read(self, handle: int, path: str, link: str | None) -> Iterator[File | Problem]:
        status = os.fstat(handle)
        identity = (status.st_dev, status.st_ino)
        if not stat.S_ISREG(status.st_mode) or identity in self._seen:
            return
        self._seen.add(identity)
        if status.st_size > self.max_bytes:
            if self.is_interesting is None or self.is_interesting.search(os.read(handle, 4096)):
                self.tally.refused += 1
                yield Problem("file_too_large", shown(path), f"{status.st_size} bytes are more than {self.max_bytes}; not read")
            return
        chunks, left = [], self.max_bytes
        while left > 0 and (chunk := os.read(handle, min(left, 1 << 20))):
            chunks.append(chunk)
            left -= len(chunk)
        self.tally.fetched += 1
        yield File(path, link, b"".join(chunks), stat.S_IMODE(status.st_mode), status.st_uid)

    def _refuse(self, path: str, error: OSError) -> Problem:
        self.tally.refused += 1
        code = "permission_denied" if isinstance(error, PermissionError) else "file_unreadable"
        return Problem(code, shown(path), f"{shown(path)}: {error.strerror or type(error).__name__}"[:500])


def shown(path: str) -> str:
    """A path as text that can be stored: bytes that are no UTF-8 are escaped, and so are control characters."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def custody(file: File) -> dict[str, str]:
    """Who can reach a file: its mode, and its owner by name, or by number where the account has no name here."""
    return {"file_mode": f"{file.mode:04o}", "file_owner": _account(file.uid)}


@cache
def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
