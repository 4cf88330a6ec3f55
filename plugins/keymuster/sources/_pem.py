"""Certificates out of PEM text that a far side gave us; anything else in the text, a private key above all, is passed over."""

from __future__ import annotations

import base64
import binascii
import re

_BLOCK = re.compile(r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END (?:TRUSTED |X509 )?CERTIFICATE-----")


def certificates(text: str) -> list[bytes]:
    """DER of every certificate block, in order; ValueError for a block that is not Base64, none for text without a block.

    The DER is not looked at: whether it is a certificate is for `normalise` to say.
    """
    try:
        return [base64.b64decode("".join(body.split()), validate=True) for body in _BLOCK.findall(text)]
    except binascii.Error as error:
        raise ValueError(f"a PEM block is not Base64: {error}") from None


def certificate(text: str) -> bytes:
    """DER of the first certificate; ValueError if there is none."""
    found = certificates(text)
    if not found:
        raise ValueError("no PEM certificate in it")
    return found[0]
