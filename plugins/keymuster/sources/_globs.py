"""Expands path patterns without losing what may not be seen: for the standard glob, a folder that one cannot enter is empty."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from glob import has_magic

from keymuster.model import Problem

Refuse = Callable[[str, OSError], Problem]


def expand(pattern: str, refuse: Refuse) -> Iterator[str | Problem]:
    """Existing paths that match, in the order of their names; `*`, `?`, `[…]`, and `**` for any depth. Absolute patterns only."""
    parts = [p for p in pattern.split("/") if p]
    yield from _expand("/", parts, refuse)


def exists(path: str) -> bool:
    """Whether the name is there; OSError if one may not know."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _expand(base: str, parts: Sequence[str], refuse: Refuse) -> Iterator[str | Problem]:
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if not has_magic(part):
        path = os.path.join(base, part)  # noqa: PTH118 (Path objects cost too much in a walk)
        try:
            found = exists(path)
        except OSError as error:
            yield refuse(path, error)
            return
        if found:
            yield from _expand(path, rest, refuse)
        return
    if part == "**":
        yield from _expand(base, rest, refuse)
    yield from _listed(base, part, parts, refuse)


def _listed(base: str, part: str, parts: Sequence[str], refuse: Refuse) -> Iterator[str | Problem]:
    try:
        with os.scandir(base) as entries:
            listed = sorted((e.name, e.path) for e in entries if part != "**" or e.is_dir(follow_symlinks=False))
    except NotADirectoryError:
        return
    except OSError as error:
        yield refuse(base, error)
        return
    for name, path in listed:
        if part == "**":
            yield from _expand(path, parts, refuse)
        elif fnmatch.fnmatchcase(name, part) and (part.startswith(".") or not name.startswith(".")):
            yield from _expand(path, parts[1:], refuse)


def is_folder(path: str) -> bool:
    """Whether it is a folder, or a link to one; OSError if one may not know."""
    return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
