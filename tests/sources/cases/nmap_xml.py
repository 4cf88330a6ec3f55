"""A recorded scan beside one with a certificate whose subject is hostile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.certificates import Builder
from tests.sources.conformance import HOSTILE, Case

from keymuster.sources.nmap_xml import Settings

RECORDINGS = Path(__file__).parents[1] / "recordings"
SCAN = """<?xml version="1.0"?>
<!DOCTYPE nmaprun>
<nmaprun scanner="nmap" args="nmap -oX - --script ssl-cert,ssl-enum-ciphers" start="1795460885" version="7.93">
<host endtime="1795460886"><status state="up"/><address addr="10.0.0.1" addrtype="ipv4"/>{ports}</host>
<runstats><finished time="1795460886" exit="success"/><hosts up="1" down="{down}" total="1"/></runstats>
</nmaprun>
"""
PORT = '<port protocol="tcp" portid="{number}"><state state="{state}"/>{inner}</port>'


def scan(*ports: str, down: int = 0) -> str:
    """A scan of one host with these ports."""
    return SCAN.format(ports=f"<ports>{''.join(ports)}</ports>", down=down)


def port(number: int, inner: str = "", state: str = "open") -> str:
    """One port."""
    return PORT.format(number=number, inner=inner, state=state)


def ssl_cert(pem: str) -> str:
    """What the script ssl-cert leaves."""
    return f'<script id="ssl-cert" output=""><elem key="pem">{pem}</elem></script>'


def case(folder: Path, request: Any) -> Iterator[Case]:
    hostile = Builder(HOSTILE[:60]).issue()
    for name in ("nmap-sslcert.xml", "nmap-sshhostkey.xml", "nmap-starttls.xml"):
        shutil.copy(RECORDINGS / name, folder)
    (folder / "hostile.xml").write_text(scan(port(443, ssl_cert(hostile.pem))))
    (folder / "short").mkdir()
    (folder / "short" / "cut.xml").write_text(scan(port(443, ssl_cert(hostile.pem))).partition("<runstats>")[0])
    yield Case(
        settings=Settings(paths=(folder / "*.xml",)),
        expects={"endpoints": 6, "certificates": 4, "ssh_keys": 2},
        private=(hostile.key,),
        hostile=hostile.der,
        short=Settings(paths=(folder / "short",)),
    )
