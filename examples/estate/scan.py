"""An Nmap scan of the sample estate (`-oX --script ssl-cert,ssl-enum-ciphers`), in Nmap's own form."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime, timedelta
from pathlib import Path

from ca import PEM, Issued
from organisation import Plan

MODERN = {
    "TLSv1.2": ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
    "TLSv1.3": ["TLS_AKE_WITH_AES_128_GCM_SHA256", "TLS_AKE_WITH_AES_256_GCM_SHA384"],
}
LEGACY = {
    "TLSv1.0": ["TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"],
    "TLSv1.2": ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"],
}
ANCIENT = {"SSLv3": ["TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_EXPORT_WITH_RC4_40_MD5"], "TLSv1.0": ["TLS_RSA_WITH_RC4_128_SHA"]}
SUITES = {"modern": MODERN, "legacy": LEGACY, "ancient": ANCIENT}


def write_scan(path: Path, served: list[Issued], as_of: datetime) -> None:
    """One host a certificate, one that is down, and one port that speaks no TLS."""
    start = as_of - timedelta(hours=2)
    began, ended = str(int(start.timestamp())), str(int((start + timedelta(minutes=9)).timestamp()))
    run = ET.Element("nmaprun", scanner="nmap", args="nmap -oX - --script ssl-cert,ssl-enum-ciphers 10.20.0.0/16")
    run.attrib.update(start=began, startstr=start.ctime(), version="7.93", xmloutputversion="1.05")
    ET.SubElement(run, "scaninfo", type="syn", protocol="tcp", numservices="1", services="443")
    for number, one in enumerate(served):
        _host(run, number, one.plan, one.certificate.public_bytes(PEM).decode(), began)
    _plain(run, len(served), began)
    finished = ET.SubElement(run, "runstats")
    ET.SubElement(finished, "finished", time=ended, timestr=start.ctime(), elapsed="540.00", exit="success", summary="Nmap done")
    total = len(served) + 1
    ET.SubElement(finished, "hosts", up=str(total), down="0", total=str(total))
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.indent(run, "")
    path.write_bytes(b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE nmaprun>\n' + ET.tostring(run))


def _up(run: ET.Element, number: int, name: str, began: str) -> ET.Element:
    host = ET.SubElement(run, "host", starttime=began, endtime=began)
    ET.SubElement(host, "status", state="up", reason="syn-ack", reason_ttl="63")
    ET.SubElement(host, "address", addr=f"10.20.{number // 200}.{number % 200 + 10}", addrtype="ipv4")
    ET.SubElement(ET.SubElement(host, "hostnames"), "hostname", name=name, type="user")
    port = ET.SubElement(ET.SubElement(host, "ports"), "port", protocol="tcp", portid="443")
    ET.SubElement(port, "state", state="open", reason="syn-ack", reason_ttl="63")
    return port


def _host(run: ET.Element, number: int, plan: Plan, pem: str, began: str) -> None:
    port = _up(run, number, plan.name, began)
    ET.SubElement(port, "service", name="https", method="table", conf="3", tunnel="ssl")
    script = ET.SubElement(port, "script", id="ssl-cert", output=f"Subject: commonName={plan.name}")
    ET.SubElement(script, "elem", key="pem").text = pem
    ciphers = ET.SubElement(port, "script", id="ssl-enum-ciphers", output="")
    for version, suites in SUITES[plan.tls].items():
        table = ET.SubElement(ciphers, "table", key=version)
        rows = ET.SubElement(table, "table", key="ciphers")
        for suite in suites:
            row = ET.SubElement(rows, "table")
            ET.SubElement(row, "elem", key="name").text = suite
            ET.SubElement(row, "elem", key="strength").text = "A" if plan.tls == "modern" else "F"
        compressors = ET.SubElement(table, "table", key="compressors")
        ET.SubElement(compressors, "elem").text = "NULL"


def _plain(run: ET.Element, number: int, began: str) -> None:
    port = _up(run, number, "status.web.brightpost.example", began)
    ET.SubElement(port, "service", name="http", method="table", conf="3")
