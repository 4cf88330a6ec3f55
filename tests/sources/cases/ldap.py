"""A real OpenLDAP; the short one stops after one page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Builder, authority
from tests.servers.slapd import Slapd, start_slapd
from tests.sources.conformance import HOSTILE, Case

from keymuster.sources.ldap import Settings

SERVERS = ("slapd",)


def person(server: Slapd, name: str, **more: Any) -> tuple[str, list[str], dict[str, Any]]:
    return f"uid={name},ou=people,{server.base_dn}", ["inetOrgPerson"], {"cn": name, "sn": name, **more}


def reading(server: Slapd, **more: Any) -> Settings:
    """Settings that read the directory as its reader, over StartTLS."""
    fixed = {"bind_dn": server.reader_dn, "password": server.reader_password, "base_dn": server.base_dn, "ca_bundle": server.ca}
    return Settings(**{"url": server.url.replace("127.0.0.1", "localhost"), "page_size": 2, **fixed, **more})


def fill(server: Slapd, der: bytes) -> None:
    certificate = {"userCertificate;binary": der}
    server.add([person(server, "anna", **certificate), person(server, "ben"), person(server, "carla")])
    members = {"member": [f"uid=anna,ou=people,{server.base_dn}"]}
    server.add([(f"cn=admins,ou=groups,{server.base_dn}", ["groupOfNames"], members)])


def case(folder: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    der = Builder(HOSTILE).issue(authority()).der
    limit = 'limits dn.exact="cn=reader,dc=lab,dc=test" size.prtotal=2'
    with start_slapd(folder / "whole") as whole, start_slapd(folder / "short", limit) as short:
        fill(whole, der)
        fill(short, der)
        expects = {"principals": 3, "grants": 1, "certificates": 1, "templates": 0, "authorities": 0}
        yield Case(reading(whole), expects, hostile=der, short=reading(short))
