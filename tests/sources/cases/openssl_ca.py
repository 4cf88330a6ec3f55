"""A CA made by `openssl ca`: three certificates, one of them revoked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from tests.sources.conformance import HOSTILE, Case
from tests.sources.openssl_lab import Lab

from keymuster.sources.openssl_ca import Settings


def case(folder: Path, request: Any) -> Iterator[Case]:
    lab = Lab.make(folder / "ca")
    lab.issue("/CN=one.example.com/O=Lab")
    revoked = lab.issue("/CN=two.example.com")
    hostile = lab.issue("/CN=" + HOSTILE[:60].replace("/", "\\/"))
    lab.revoke(revoked, "-crl_reason", "keyCompromise")
    lab.publish()
    shutil.copytree(lab.folder, folder / "short")
    (folder / "short" / "newcerts" / f"{revoked}.pem").unlink()
    yield Case(
        settings=Settings(folder=lab.folder),
        expects={"issuances": 3, "certificates": 4, "authorities": 1, "revocation_services": 1},
        private=(lab.private_key("private.key"), lab.private_key("leaf.key")),
        hostile=lab.certificate(hostile).public_bytes(Encoding.DER),
        short=Settings(folder=folder / "short"),
    )
