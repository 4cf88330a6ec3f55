"""The disks of the sample estate's hosts: certificates, private keys with good and bad modes, SSH keys."""

from __future__ import annotations

from pathlib import Path

from ca import PEM, Issued, Issuer
from cryptography.hazmat.primitives import serialization
from keys import Key, KeySmith

PKCS8 = serialization.PrivateFormat.PKCS8
OPENSSH = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def write_hosts(folder: Path, on_disk: list[Issued], roots: list[Issuer], smith: KeySmith) -> None:
    """A few hosts; the stolen key lies on three of them, once readable for everybody and once in a backup."""
    for number, one in enumerate(on_disk):
        mode = 0o644 if number % 5 == 4 else 0o640 if number % 5 == 3 else 0o600
        _install(folder / f"host{number:02d}", one, mode)
    gateway = on_disk[-1]
    _install(folder / "gateway-standby", gateway, 0o644)
    _key(folder / "backup" / "2025-11" / "sync-gateway.key", gateway.key, 0o644)
    _key(folder / "backup" / "2025-11" / "legacy-encrypted.key", smith.rsa(2048), 0o600, b"example")
    trusted = folder / "host00" / "usr" / "local" / "share" / "ca-certificates"
    trusted.mkdir(parents=True)
    for number, root in enumerate(roots):
        (trusted / f"root{number}.crt").write_bytes(root.certificate.public_bytes(PEM))
    _ssh(folder, smith)


def _install(host: Path, one: Issued, mode: int) -> None:
    certificates = host / "etc" / "ssl" / "certs"
    certificates.mkdir(parents=True, exist_ok=True)
    (certificates / f"{one.plan.name}.pem").write_bytes(one.certificate.public_bytes(PEM))
    _key(host / "etc" / "ssl" / "private" / f"{one.plan.name}.key", one.key, mode)


def _key(path: Path, key: Key, mode: int, password: bytes | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    secrecy = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(PEM, PKCS8, secrecy))
    path.chmod(mode)


def _ssh(folder: Path, smith: KeySmith) -> None:
    ops, contractor, old = (_public(key) for key in (smith.ec(), smith.ec(), smith.rsa(1024)))
    lines = {
        "host00/home/deploy": [f"{ops} ops@brightpost", f'from="10.20.0.0/16",restrict {contractor} contractor@partner'],
        "host01/home/deploy": [f"{ops} ops@brightpost", f"{old} legacy-sync@2014"],
        "host02/root": [f"{ops} ops@brightpost"],
    }
    for home, entries in lines.items():
        path = folder / home / ".ssh" / "authorized_keys"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{entry}\n" for entry in entries))
        path.chmod(0o600)
    for host in ("host00", "host01"):
        path = folder / host / "etc" / "ssh" / "ssh_host_ecdsa_key.pub"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{_public(smith.ec())} root@{host}\n")


def _public(key: Key) -> str:
    return key.public_key().public_bytes(*OPENSSH).decode()
