"""Who is who at Brightpost, a mail company that does not exist: its hosts, its certificates and what is wrong with them.

Nothing here touches a key or a file; `make.py` turns these plans into both.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

DOMAIN = "brightpost.example"
TEAMS = ("mail", "web", "identity", "billing", "platform")
GATEWAY = f"sync-gateway.{DOMAIN}"
"""The application whose key was stolen: it signs in to the customers' cloud mail in the company's name."""


@dataclass(frozen=True)
class Plan:
    """One certificate: how it was made and where it is met."""

    name: str
    key: str = "ec"
    """ec, rsa1024, rsa2048, close_primes, pair_a, pair_b, or `shared:<n>` for one key in many certificates."""
    age_days: float = 20.0
    validity_days: int = 90
    digest: str = "sha256"
    issuer: str = "issuing"
    """issuing, impostor (the issuer's name, another key), self, or weak (the SHA-1 root of old appliances)."""
    names: tuple[str, ...] = ()
    """SAN entries; empty means the name itself."""
    purpose: str = "server"
    served: bool = True
    recorded: bool = True
    """It stands in the CA's database."""
    revoked: tuple[float, str] | None = None
    """Days ago and reason."""
    tls: str = "modern"
    """modern, legacy (TLS 1.0, 3DES) or ancient (SSLv3, RC4)."""
    on_disk: bool = False

    @property
    def san(self) -> tuple[str, ...]:
        """Names in the certificate."""
        return self.names or (self.name,)


def ordinary(rng: random.Random, count: int) -> Iterator[Plan]:
    """Healthy certificates of all teams; some are issued and served nowhere that the scan reaches."""
    for n in range(count):
        team = TEAMS[n % len(TEAMS)]
        validity = rng.choice((47, 90, 90, 180, 365))
        age = rng.uniform(0.02, 0.55) * validity
        kind = "rsa2048" if n % 6 == 0 else "ec"
        yield Plan(f"{team}{n:03d}.{team}.{DOMAIN}", kind, age, validity, served=n % 8 != 7, on_disk=n % 20 == 0)


def faulty() -> Iterator[Plan]:
    """One group a fault, named after it."""
    yield from _dates()
    yield from _keys_and_signatures()
    yield from _issuers_and_names()


def _dates() -> Iterator[Plan]:
    for n in range(6):
        yield Plan(f"expired{n}.web.{DOMAIN}", age_days=90.0 + 3 * n + 1, tls="legacy" if n == 0 else "modern")
    for n, left in enumerate((0.5, 2, 5, 6.5, 9, 12, 13, 18, 22, 25, 27, 29)):
        yield Plan(f"expiring{n:02d}.mail.{DOMAIN}", age_days=90.0 - left)
    for n, validity in enumerate((730, 825, 1825, 3650)):
        yield Plan(f"overlong{n}.platform.{DOMAIN}", "rsa2048", 400.0, validity)
    for n, reason in enumerate(("superseded", "cessationOfOperation", "keyCompromise")):
        yield Plan(f"revoked{n}.mail.{DOMAIN}", revoked=(12.0 + n, reason))
    for n in range(5):
        yield Plan(f"unused-revoked{n}.mail.{DOMAIN}", served=False, revoked=(30.0 + n, "superseded"))


def _keys_and_signatures() -> Iterator[Plan]:
    for n in range(3):
        yield Plan(f"sha1-{n}.billing.{DOMAIN}", "rsa2048", 200.0, 730, digest="sha1", issuer="weak", recorded=False, tls="legacy")
    for n in range(3):
        yield Plan(f"rsa1024-{n}.billing.{DOMAIN}", "rsa1024", 300.0, 365 * 3, issuer="weak", recorded=False, tls="ancient")
    for n in range(8):
        yield Plan(f"tenant{n}.web.{DOMAIN}", "shared:tenants", 10.0 + n)
    yield Plan(f"vpn.platform.{DOMAIN}", "close_primes", 30.0, 365)
    yield Plan(f"printer-a.platform.{DOMAIN}", "pair_a", 40.0, 365)
    yield Plan(f"printer-b.platform.{DOMAIN}", "pair_b", 40.0, 365)


def _issuers_and_names() -> Iterator[Plan]:
    for n in range(4):
        yield Plan(f"misnamed{n}.identity.{DOMAIN}", names=(f"old-name{n}.identity.{DOMAIN}",))
    for n in range(2):
        yield Plan(f"login{n}.identity.{DOMAIN}", issuer="impostor", recorded=False, age_days=3.0)
    for n in range(4):
        yield Plan(f"appliance{n}.platform.{DOMAIN}", "rsa2048", 500.0, 3650, issuer="self", recorded=False)
    yield Plan(f"shop.web.{DOMAIN}", names=(f"*.web.{DOMAIN}", f"shop.web.{DOMAIN}"))


def stolen() -> Iterator[Plan]:
    """The application's certificate and its two predecessors, all over one key that was carried from renewal to renewal."""
    for n, age in enumerate((770.0, 405.0, 40.0)):
        yield Plan(GATEWAY, "shared:gateway", age, 365, purpose="client", served=n == 2, on_disk=n == 2)


def plans(seed: int, count: int) -> list[Plan]:
    """Every certificate of the organisation. `count` is the number of healthy ones."""
    return [*ordinary(random.Random(seed), count), *faulty(), *stolen()]
