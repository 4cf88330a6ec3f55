"""AD CS as Active Directory publishes it: certificate templates (MS-CRTD) and enrolment services (MS-WCCE)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keymuster.model import Record
from keymuster.sources._directory import Directory, Entry

DELIVERS: Mapping[str, frozenset[str]] = {
    "templates": frozenset(
        {
            "schema_version",
            "extended_key_usage",
            "authorized_signatures",
            "requires_manager_approval",
            "is_subject_supplied_by_requester",
            "omits_security_extension",
        }
    ),
    "authorities": frozenset({"kind"}),
}
SUPPLIES_SUBJECT = 0x1 | 0x00010000
"""CT_FLAG_ENROLLEE_SUPPLIES_SUBJECT, CT_FLAG_ENROLLEE_SUPPLIES_SUBJECT_ALT_NAME (MS-CRTD 2.28)."""
PEND_ALL, NO_SECURITY_EXTENSION = 0x2, 0x80000
"""CT_FLAG_PEND_ALL_REQUESTS, CT_FLAG_NO_SECURITY_EXTENSION (MS-CRTD 2.26)."""
USAGES = {
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "1.3.6.1.4.1.311.20.2.2": "smartcardLogon",
    "1.3.6.1.5.2.3.4": "pkinitClientAuth",
    "1.3.6.1.4.1.311.20.2.1": "certificateRequestAgent",
    "2.5.29.37.0": "anyExtendedKeyUsage",
}
ATTRIBUTES = (
    "msPKI-Cert-Template-OID",
    "msPKI-Certificate-Name-Flag",
    "msPKI-Enrollment-Flag",
    "msPKI-RA-Signature",
    "msPKI-Template-Schema-Version",
    "pKIExtendedKeyUsage",
)


def records(directory: Directory, configuration: str) -> Iterator[Record]:
    """Templates and enrolment services of a forest; nothing in a forest without AD CS containers is an error of the search."""
    services = f"CN=Public Key Services,CN=Services,{configuration}"
    for entry in directory.search(f"CN=Certificate Templates,{services}", "(objectClass=pKICertificateTemplate)", ATTRIBUTES):
        yield _template(entry, configuration)
    for entry in directory.search(f"CN=Enrollment Services,{services}", "(objectClass=pKIEnrollmentService)", ("cACertificate",)):
        for number, der in enumerate(sorted(entry.values.get("cacertificate", ())), 1):
            yield Record("authorities", f"{entry.dn}#{number}", der, {"kind": "adcs"})


def _template(entry: Entry, configuration: str) -> Record:
    """An attribute that is not there has the default of the first schema version, which has no flags of its own."""
    names, enrolment = entry.number("msPKI-Certificate-Name-Flag") or 0, entry.number("msPKI-Enrollment-Flag") or 0
    usages = [USAGES.get(oid, oid) for oid in entry.texts("pKIExtendedKeyUsage")]
    identity = f"urn:ad:{configuration.lower()}:{entry.text('msPKI-Cert-Template-OID') or entry.dn.lower()}"
    attributes = {
        "schema_version": entry.number("msPKI-Template-Schema-Version") or 1,
        "extended_key_usage": sorted(usages) or ["anyExtendedKeyUsage"],
        "authorized_signatures": entry.number("msPKI-RA-Signature") or 0,
        "requires_manager_approval": bool(enrolment & PEND_ALL),
        "is_subject_supplied_by_requester": bool(names & SUPPLIES_SUBJECT),
        "omits_security_extension": bool(enrolment & NO_SECURITY_EXTENSION),
    }
    return Record("templates", entry.dn, None, {"asset_id": identity, **attributes})
