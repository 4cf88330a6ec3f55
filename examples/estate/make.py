"""Makes the sample estate: an organisation with a private CA, a network scan, a cloud account, hosts, and a stolen key.

    python examples/estate/make.py var/estates/sample                     # dated today
    python examples/estate/make.py --as-of 2026-11-01 var/estates/sample  # as it was on that day

The same seed and day give the same bytes, except for the encrypted key, whose salt is random by nature.
"""

from __future__ import annotations

import argparse
import random
import shutil
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from ca import Issued, Issuer, authority, key_for, leaf, write_database
from cloud import write_cloud
from cryptography.hazmat.primitives import hashes, serialization
from hosts import write_hosts
from keys import Key, KeySmith
from organisation import GATEWAY, plans
from scan import write_scan

HERE = Path(__file__).parent
SEED = 20210112  # the day on which the mail company told its customers
HEALTHY = 240


def issuers(smith: KeySmith, as_of: datetime) -> dict[str, Issuer]:
    """The organisation's root and issuing CA, an impostor under the issuing CA's name, and an old SHA-1 root."""
    made = as_of - timedelta(days=900)
    root = authority("Brightpost Root CA", smith.rsa(3072), (made, 3650), 4097)
    issuing = authority("Brightpost Issuing CA 1", smith.rsa(3072), (made, 1825), 4098, root)
    impostor = authority("Brightpost Issuing CA 1", smith.rsa(3072), (made, 1825), 4098, root)
    weak = authority("Brightpost Appliance Root 2012", smith.rsa(2048), (as_of - timedelta(days=3600), 7300), 1, digest="sha1")
    return {"root": root, "issuing": issuing, "impostor": impostor, "weak": weak}


def issue(smith: KeySmith, cas: dict[str, Issuer], as_of: datetime, seed: int, count: int) -> list[Issued]:
    """Every certificate of the organisation, in the order of its plans."""
    shared: dict[str, Key] = {}
    serials = random.Random(seed)
    result = []
    for plan in plans(seed, count):
        key = key_for(plan, smith, shared)
        certificate = leaf(plan, key, cas.get(plan.issuer), as_of, serials.getrandbits(126) | 1 << 126)
        result.append(Issued(plan, certificate, key))
    return result


def spki_sha256(key: Key) -> str:
    """Identity of a key."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def make(target: Path, as_of: datetime, seed: int = SEED, count: int = HEALTHY) -> None:
    """Write the whole estate below target, which must not exist or be an estate made before."""
    smith = KeySmith(seed)
    cas = issuers(smith, as_of)
    issued = issue(smith, cas, as_of, seed, count)
    work = target.with_name(f"{target.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    recorded = [one for one in issued if one.plan.recorded]
    write_database(work / "ca", cas["issuing"], cas["root"], recorded, as_of)
    served = [one for one in issued if one.plan.served]
    write_scan(work / "scan" / "nmap.xml", served, as_of)
    write_cloud(work / "aws", [one for one in served if ".web." in one.plan.name][:12], cas["issuing"], as_of)
    write_hosts(work / "hosts", [one for one in issued if one.plan.on_disk], [cas["root"], cas["weak"]], smith)
    gateway = next(one for one in issued if one.plan.name == GATEWAY)
    values = {"STOLEN": spki_sha256(gateway.key), "SINCE": (as_of - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")}
    values |= {"NEXT_YEAR": f"{as_of + timedelta(days=300):%Y-%m-%d}", "LAST_MONTH": f"{as_of - timedelta(days=30):%Y-%m-%d}"}
    for template in sorted((HERE / "templates").glob("*.yaml")):
        text = template.read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        (work / template.name).write_text(text)
    shutil.rmtree(target, ignore_errors=True)
    work.rename(target)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="folder to write; replaced if it is a sample estate")
    parser.add_argument("--as-of", type=lambda text: datetime.combine(datetime.fromisoformat(text), time(6), UTC), help="day of the estate")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=HEALTHY, help="healthy certificates beside the faulty ones")
    parser.add_argument("--if-missing", action="store_true", help="do nothing if the estate is there")
    options = parser.parse_args()
    if options.if_missing and (options.target / "estate.yaml").is_file():
        return
    if options.target.exists() and not (options.target / "estate.yaml").is_file():
        parser.error(f"{options.target} is there and is no sample estate; name another folder")
    today = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0)  # noqa: TID251 (the estate is dated by the day it is made)
    make(options.target, options.as_of or today, options.seed, options.count)
    print(f"sample estate: {options.target}/estate.yaml")


if __name__ == "__main__":
    main()
