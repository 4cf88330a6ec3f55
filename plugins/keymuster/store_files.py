"""Whole files below one address, written atomically: a reader, and whoever comes after a kill -9, finds the old file or the new one.

On a local folder: temporary file, fsync, rename, fsync of the folder. On an object store a PUT is atomic by itself.
Names are relative, with `/`. Errors: StoreUnavailable names the path and what to do.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import upath

from keymuster.errors import ConfigurationError, StoreUnavailable

TEMPORARY = "tmp"
"""Folder of unfinished files below the root, so that what a killed process leaves lies in one place and is never read."""
_LOCAL = ("", "file", "local")
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""They have no folders, and a client that is asked to make one may make a bucket that nobody wanted."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Files(Protocol):
    """What the store needs of a place to keep files in."""

    def put(self, name: str, data: bytes) -> None:
        """Write or replace one file, atomically and durably."""
        ...

    def get(self, name: str) -> bytes | None:
        """Content of one file; None if there is none."""
        ...

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """One file for reading at random places; it must exist."""
        ...

    def find(self, prefix: str) -> list[str]:
        """Names of all files below a folder, sorted; none if there is no such folder."""
        ...

    def drop(self, prefix: str) -> None:
        """Remove a file, or a folder and all below it; nothing happens if there is none."""
        ...

    def address(self, name: str) -> str:
        """Absolute address, for messages and people."""
        ...


def files_at(root: str | Path | upath.UPath, storage_options: Mapping[str, Any] | None = None) -> Files:
    """Files below a local folder or any fsspec address, e.g. s3://bucket/prefix. ConfigurationError for an unknown kind of address."""
    try:
        path = upath.UPath(root, **(storage_options or {}))
        return LocalFiles(Path(path.path)) if path.protocol in _LOCAL else RemoteFiles(path)
    except (ValueError, ImportError) as error:
        raise ConfigurationError(
            f"{root}: not an address that a store can have ({error}); use a folder or e.g. s3://bucket/prefix"
        ) from error


class LocalFiles:
    """Files below a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def put(self, name: str, data: bytes) -> None:
        """See `Files`."""
        target = self.root / name
        with _failures(str(target), OSError):
            temporary = self.root / TEMPORARY / f"{os.getpid()}-{secrets.token_hex(8)}"
            self._folder(temporary.parent)
            self._folder(target.parent)
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            _sync(target.parent)

    def get(self, name: str) -> bytes | None:
        """See `Files`."""
        with _failures(str(self.root / name), OSError):
            try:
                return (self.root / name).read_bytes()
            except FileNotFoundError:
                return None

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """See `Files`."""
        with _failures(str(self.root / name), OSError), (self.root / name).open("rb") as file:
            yield file

    def find(self, prefix: str) -> list[str]:
        """See `Files`."""
        with _failures(str(self.root / prefix), OSError):
            found: list[str] = []
            for folder, _, names in os.walk(self.root / prefix, onerror=_unless_missing):
                found += [(Path(folder) / name).relative_to(self.root).as_posix() for name in names]
            return sorted(found)

    def drop(self, prefix: str) -> None:
        """See `Files`."""
        with _failures(str(self.root / prefix), OSError):
            try:
                shutil.rmtree(self.root / prefix)
            except NotADirectoryError:
                (self.root / prefix).unlink(missing_ok=True)
            except FileNotFoundError:
                return

    def address(self, name: str) -> str:
        """See `Files`."""
        return str(self.root / name)

    def _folder(self, folder: Path) -> None:
        """Make a folder durable: an entry lasts once the folder that holds it is synced."""
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            _sync(made.parent)


class RemoteFiles:
    """Files below an fsspec address."""

    def __init__(self, root: upath.UPath) -> None:
        self.root, self.fs = root, root.fs
        self._base = root.path.rstrip("/")
        self._failures: tuple[type[Exception], ...] = (OSError,)
        if root.protocol in ("s3", "s3a"):
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415 (slow to import, and no folder needs it)

            self._failures = (OSError, BotoCoreError)

    def put(self, name: str, data: bytes) -> None:
        """See `Files`."""
        with _failures(self.address(name), *self._failures):
            if self.root.protocol not in _OBJECT_STORES:
                self.fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            self.fs.pipe_file(self._path(name), data)

    def get(self, name: str) -> bytes | None:
        """See `Files`."""
        with _failures(self.address(name), *self._failures):
            try:
                return bytes(self.fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """See `Files`."""
        with _failures(self.address(name), *self._failures), self.fs.open(self._path(name), "rb") as file:
            yield file

    def find(self, prefix: str) -> list[str]:
        """See `Files`."""
        with _failures(self.address(prefix), *self._failures):
            self.fs.invalidate_cache()  # others write too
            try:
                found = self.fs.find(self._path(prefix))
            except FileNotFoundError:
                return []
            return sorted(path.lstrip("/").removeprefix(self._base.lstrip("/")).lstrip("/") for path in found)

    def drop(self, prefix: str) -> None:
        """See `Files`."""
        with _failures(self.address(prefix), *self._failures):
            self.fs.invalidate_cache()
            try:
                self.fs.rm(self._path(prefix), recursive=True)
            except FileNotFoundError:
                return

    def address(self, name: str) -> str:
        """See `Files`."""
        return f"{self.root.protocol}://{self._path(name).lstrip('/')}"

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _failures(address: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn what the file system or the network says into StoreUnavailable."""
    try:
        yield
    except kinds as error:
        number = getattr(error, "errno", None)
        reason = (os.strerror(number) if number else str(error)) or type(error).__name__
        if number in _FULL:
            advice = "free some space there, or set KEYMUSTER_STORE to another place; nothing that was stored before is harmed"
        elif number in _DENIED or isinstance(error, PermissionError):
            advice = "give the user that runs keymuster the right to read and write there, or set KEYMUSTER_STORE to another place"
        else:
            advice = "check that the place of the snapshot store (KEYMUSTER_STORE) is there and reachable, then run again"
        raise StoreUnavailable(f"{address}: {reason}; {advice}") from error
