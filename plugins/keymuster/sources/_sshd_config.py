"""The part of an SSH daemon's configuration that decides which keys it accepts. sshd_config(5): the first value of a keyword counts."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keymuster.model import Problem
from keymuster.sources import _ssh_lines
from keymuster.sources._walk import shown

MANY = {"hostkey", "hostcertificate"}
MAX_INCLUDES = 16


@dataclass
class Config:
    """Global section, and whether `Match` blocks change what is asked here."""

    values: dict[str, list[str]] = field(default_factory=dict)
    conditional: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def first(self, keyword: str, default: str) -> str:
        """The value that counts, in lower case."""
        return (self.values.get(keyword) or [default])[0].lower()


def read(path: Path, depth: int = 0, config: Config | None = None) -> Config:
    """Read a configuration and what it includes. What cannot be read is a problem in it."""
    config = config or Config()
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        code = "permission_denied" if isinstance(error, PermissionError) else "path_missing"
        config.problems.append(Problem(code, shown(str(path)), f"{error.strerror}; the settings of sshd are not known"))
        return config
    in_match = False
    for keyword, arguments in _ssh_lines.words(text):
        if keyword == "match":
            in_match = arguments[:1] != ["all"]
        elif keyword == "include" and not in_match and depth < MAX_INCLUDES:
            for included in _included(arguments):
                read(included, depth + 1, config)
        elif in_match:
            config.conditional.add(keyword)
        elif keyword in MANY:
            config.values.setdefault(keyword, []).extend(arguments)
        else:
            config.values.setdefault(keyword, arguments)
    return config


def _included(patterns: list[str]) -> Iterator[Path]:
    for pattern in patterns:
        whole = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
        yield from (Path(p) for p in sorted(glob.glob(whole)))  # noqa: PTH207 (Path.glob takes no absolute pattern)


def server(config: Config) -> Mapping[str, object]:
    """Columns of `servers` that the file tells. A keyword that `Match` blocks set as well is left unknown."""
    root = {"without-password": "prohibit-password"}.get(value := config.first("permitrootlogin", "prohibit-password"), value)
    found: dict[str, object] = {"role": "ssh_server", "ssh_protocols": config.first("protocol", "2").split(",")}
    if "permitrootlogin" not in config.conditional:
        found["permit_root_login"] = root
    if not config.conditional & {"passwordauthentication", "kbdinteractiveauthentication", "authenticationmethods"}:
        found["allows_password_authentication"] = _allows_passwords(config)
    return found


def _allows_passwords(config: Config) -> bool:
    """Whether a password, or what the keyboard-interactive method asks, is enough by itself."""
    interactive = config.values.get("kbdinteractiveauthentication") or config.values.get("challengeresponseauthentication") or ["yes"]
    if config.first("passwordauthentication", "yes") == "no" and interactive[0].lower() == "no":
        return False
    methods = config.values.get("authenticationmethods") or ["any"]
    alone = {"any", "password", "keyboard-interactive", "keyboard-interactive:pam"}
    return any(m.lower() in alone for m in methods)
