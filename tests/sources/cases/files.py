"""A folder with every container that `files` reads."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)
from tests.certificates import Builder, authority, leaf
from tests.sources.conformance import HOSTILE, Case

from keymuster.sources.files import Settings

PASSWORD = "correct horse battery"


def keytool(*arguments: str) -> None:
    quick = ("-J-XX:TieredStopAtLevel=1", "-J-Xshare:auto")
    subprocess.run(["keytool", *quick, *arguments], check=True, capture_output=True)


def fill(folder: Path) -> tuple[list[Any], bytes]:
    """Write the files; returns the private keys in them and the DER of the certificate with a hostile subject."""
    keys = [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
    root = authority("Files Root")
    www = leaf("www.example.com", by=root, private_key=keys[1])
    hostile = Builder(HOSTILE[:60]).issue(root)
    (folder / "trust").mkdir()
    (folder / "trust" / "root.crt").write_bytes(root.der)
    (folder / "bundle.pem").write_text("the chain\n" + www.pem + root.pem + www.private_pem)
    (folder / "hostile.pem").write_text(hostile.pem)
    (folder / "rsa.key").write_bytes(keys[0].private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    (folder / "rsa.key").chmod(0o644)
    (folder / "ed.der").write_bytes(keys[2].private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "locked.key").write_bytes(keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"unknown")))
    (folder / "chain.p7b").write_bytes(pkcs7.serialize_certificates([www.certificate, root.certificate], Encoding.DER))
    store = pkcs12.serialize_key_and_certificates(
        b"www", keys[1], www.certificate, [root.certificate], BestAvailableEncryption(PASSWORD.encode())
    )
    (folder / "store.p12").write_bytes(store)
    return [*keys, root.key, hostile.key], hostile.der


@cache
def java_store(kind: str) -> bytes:
    """A JKS or JCEKS store made by keytool, once a process: a key `app` and a trusted `root`, in JCEKS also a secret `master`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root.pem").write_text(authority("Files Root").pem)
        common = ("-keystore", str(folder / "it"), "-storetype", kind, "-storepass", "changeit")
        keytool("-genkeypair", "-alias", "app", "-keyalg", "EC", "-dname", "CN=java.example.com", "-keypass", "changeit", *common)
        keytool("-importcert", "-noprompt", "-alias", "root", "-file", str(folder / "root.pem"), *common)
        if kind == "jceks":
            keytool("-genseckey", "-alias", "master", "-keyalg", "AES", "-keysize", "256", "-keypass", "changeit", *common)
        return (folder / "it").read_bytes()


def case(folder: Path, request: Any) -> Iterator[Case]:
    whole, short = folder / "whole", folder / "short"
    whole.mkdir()
    short.mkdir()
    private, hostile = fill(whole)
    for kind in ("jks", "jceks"):
        (whole / f"java.{kind}").write_bytes(java_store(kind))
    (short / "store.p12").write_bytes((whole / "store.p12").read_bytes())
    yield Case(
        settings=Settings(paths=(whole,), trust_stores=("*/trust/*",), passwords=(PASSWORD,)),
        expects={"certificates": 11, "keys": 8},
        private=private,
        hostile=hostile,
        short=Settings(paths=(short,)),
    )
