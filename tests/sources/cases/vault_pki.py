"""A real OpenBao with a PKI and a transit mount; the short one has a role that stores nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sources.conformance import HOSTILE, Case

from keymuster.sources._pem import certificate
from keymuster.sources.vault_pki import Settings

SERVERS = ("openbao",)


def case(folder: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    bao = request.getfixturevalue("openbao")
    pki, short, transit = bao.mount("pki"), bao.mount("pki"), bao.mount("transit")
    for mount in (pki, short):
        bao.call("POST", f"{mount}/root/generate/internal", {"common_name": "Lab Root", "ttl": "8760h", "key_type": "ec"})
        role = {"allow_any_name": True, "enforce_hostnames": False, "cn_validations": "disabled", "key_type": "ec", "max_ttl": "720h"}
        bao.call("POST", f"{mount}/roles/any", role | {"no_store": mount == short})
    for name in ("a.lab.test", HOSTILE):
        body = {"common_name": name, "exclude_cn_from_sans": True}
        issued = bao.call("POST", f"{pki}/issue/any", body)["data"]
    bao.call("POST", f"{transit}/keys/app", {"type": "aes256-gcm96"})
    expects = {"certificates": 4, "issuances": 3, "authorities": 1, "revocation_services": 1, "keys": 1}
    settings = Settings(url=bao.url, token=bao.token, mounts=(pki,), transit_mounts=(transit,))
    yield Case(settings, expects, hostile=certificate(issued["certificate"]), short=Settings(url=bao.url, token=bao.token, mounts=(short,)))
