"""What browsers would miss in a certificate's embedded SCTs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cryptography import x509

from keymuster.facts._arrays import each, series
from keymuster.facts._certificates import loaded
from keymuster.facts._ct_logs import CURRENT, Log, Logs, log_lists
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "ct_policy_defects"
TABLE = "certificates"
NEEDS = ("asset_id", "validity_days", "is_ca")
DOC = (
    "Embedded SCTs against the log lists mounted (Chrome CT policy; Apple 103214): 2 logs up to 180 days, else 3, two operators (Chrome), "
    "1 or 2 SCTs an operator count (Apple), one log current, one of RFC 6962 (Apple). SCT signatures are not verified. Null for CAs."
)
LONG_DAYS = 180
Stamp = tuple[bytes, datetime]


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    chrome, apple = log_lists(context.reference)
    leaves = pc.equal(frame.arrow("is_ca"), False).fill_null(False)
    lengths = dict(zip(frame.arrow("asset_id").to_pylist(), frame.arrow("validity_days").to_pylist(), strict=True))
    answers = {}
    for print_, certificate in loaded(frame.arrow("asset_id").filter(leaves).unique().drop_null(), context):
        stamps, days = _stamps(certificate), lengths[print_]
        if stamps is not None and days is not None:
            answers[print_] = [*_of_chrome(stamps, days, chrome), *_of_apple(stamps, days, apple)]
    return series(frame, each(frame.arrow("asset_id"), answers.get, pa.list_(pa.string())))


def _stamps(certificate: x509.Certificate) -> list[Stamp] | None:
    """(log id, instant) of the embedded SCTs; None if the extensions cannot be read."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    except x509.ExtensionNotFound:
        return []
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return None
    return [(sct.log_id, sct.timestamp.replace(tzinfo=UTC)) for sct in found]


def _counting(stamps: Sequence[Stamp], logs: Logs) -> list[Log]:
    """The logs, each once, whose SCTs count."""
    seen = {log_id: logs[log_id] for log_id, signed_at in stamps if log_id in logs and logs[log_id].counts(signed_at)}
    return list(seen.values())


def _needed(days: int) -> int:
    return 3 if days > LONG_DAYS else 2


def _of_chrome(stamps: Sequence[Stamp], days: int, logs: Logs) -> list[str]:
    found = _counting(stamps, logs)
    defects = {
        "chrome_count": len(found) < _needed(days),
        "chrome_operators": len({log.operator for log in found}) < 2,
        "chrome_no_current_log": not any(log.state in CURRENT for log in found),
    }
    return [name for name, is_there in defects.items() if is_there]


def _of_apple(stamps: Sequence[Stamp], days: int, logs: Logs) -> list[str]:
    found = _counting(stamps, logs)
    most = 2 if days > LONG_DAYS else 1
    counted = sum(min(most, count) for count in Counter(log.operator for log in found).values())
    defects = {
        "apple_count": counted < _needed(days),
        "apple_no_current_log": not any(log.state in CURRENT for log in found),
        "apple_no_rfc6962_log": not any(log.is_rfc6962 for log in found),
    }
    return [name for name, is_there in defects.items() if is_there]
