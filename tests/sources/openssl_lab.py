"""A CA run by `openssl ca` itself, with the traps of its database."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

CONFIGURATION = """
[ca]
default_ca = d
[d]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}/newcerts
serial = {folder}/serial
crlnumber = {folder}/crlnumber
certificate = {folder}/ca.pem
private_key = {folder}/private.key
default_md = sha256
default_days = 90
default_crl_days = 7
policy = p
copy_extensions = copy
unique_subject = no
string_mask = utf8only
[p]
commonName = supplied
organizationName = optional
[req]
distinguished_name = dn
prompt = no
utf8 = yes
string_mask = utf8only
[dn]
CN = Lab CA
[v3_ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""


@dataclass(frozen=True)
class Lab:
    """The CA's folder; every method is one command line."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Lab:
        """A fresh CA with an EC key."""
        (folder / "newcerts").mkdir(parents=True)
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000\n")
        (folder / "crlnumber").write_text("01\n")
        (folder / "ca.cnf").write_text(CONFIGURATION.format(folder=folder))
        lab = cls(folder)
        lab.key("private.key")
        lab.run(
            "req", "-x509", "-new", "-key", "private.key", "-days", "3650", "-config", "ca.cnf", "-extensions", "v3_ca", "-out", "ca.pem"
        )
        return lab

    def run(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")

    def key(self, name: str) -> None:
        self.run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name)

    def issue(self, subject: str, *arguments: str) -> str:
        """Sign a request for a subject; returns the serial as in the index."""
        serial = (self.folder / "serial").read_text().strip()
        self.key("leaf.key")
        self.run("req", "-new", "-utf8", "-key", "leaf.key", "-subj", subject, "-config", "ca.cnf", "-out", "leaf.csr")
        self.run("ca", "-batch", "-utf8", "-config", "ca.cnf", "-in", "leaf.csr", "-out", "leaf.pem", *arguments)
        return serial

    def revoke(self, serial: str, *arguments: str) -> None:
        self.run("ca", "-config", "ca.cnf", "-revoke", f"newcerts/{serial}.pem", *arguments)

    def publish(self) -> None:
        self.run("ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem")

    def certificate(self, serial: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / "newcerts" / f"{serial}.pem").read_bytes())

    def private_key(self, name: str) -> object:
        return load_pem_private_key((self.folder / name).read_bytes(), None)
