"""Hand-made TLS hellos and a reader of the answers, as bytes only (RFC 5246 7.4, RFC 8446 4.1).

A library cannot ask about what it does not speak itself: SSLv2, SSLv3, EXPORT, NULL and RC4 are exactly what a scan must find.
A hello costs no cryptography, and before TLS 1.3 the answer carries the certificates in clear. TLS 1.3 answers with HelloRetryRequest,
since no key is offered.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

VERSIONS: Mapping[str, int] = MappingProxyType(
    {"SSLv2": 0x0002, "SSLv3": 0x0300, "TLSv1.0": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
)
GROUPS = (0x001D, 0x0017, 0x0018, 0x0019, 0x001E, 0x001A, 0x001B, 0x001C, 0x11EC, 0x11EB, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104)
FINITE_GROUPS: Mapping[int, int] = MappingProxyType({0x0100: 2048, 0x0101: 3072, 0x0102: 4096, 0x0103: 6144, 0x0104: 8192})
"""Finite-field groups of RFC 7919 and their sizes in bits."""
SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601)
SIGNATURES_OLD = (0x0301, 0x0303, 0x0402, 0x0302, 0x0201, 0x0203, 0x0202, 0x0101)
SSL2_CIPHERS = bytes.fromhex("010080 020080 030080 040080 050080 060040 0700c0".replace(" ", ""))
SERVER_HELLO, CERTIFICATE, KEY_EXCHANGE, DONE = 2, 11, 12, 14
MAX_ANSWER = 1 << 18


@cache
def suites() -> Mapping[int, str]:
    """IANA names of cipher suites by code."""
    lines = Path(__file__).with_name("cipher_suites.txt").read_text("ascii").splitlines()
    return MappingProxyType({int(code, 16): name for code, name in (line.split() for line in lines if not line.startswith("#"))})


@cache
def suites_of(version: str) -> tuple[int, ...]:
    """Codes that can be asked for in a version; TLS 1.3 has its own."""
    return tuple(code for code in suites() if (code >> 8 == 0x13) == (version == "TLSv1.3"))


def has_finite_group(suite: int) -> bool:
    """Whether the suite's key exchange message begins with a finite-field group."""
    return suites().get(suite, "").startswith(("TLS_DHE_RSA_", "TLS_DHE_DSS_", "TLS_DH_ANON_", "TLS_DH_anon_"))


def _vector(size: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return len(body).to_bytes(size, "big") + body


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">H", kind) + _vector(2, body)


def _shorts(values: Sequence[int]) -> bytes:
    return _vector(2, struct.pack(f">{len(values)}H", *values))


def client_hello(version: str, offered: Sequence[int], server_name: str | None, groups: Sequence[int] = GROUPS) -> bytes:
    """A hello of one version only, as one or more records."""
    if version == "SSLv2":
        return _hello_2()
    number = min(VERSIONS[version], 0x0303)
    extensions = b"" if version == "SSLv3" else _extensions(version, server_name, groups)
    body = struct.pack(">H", number) + os.urandom(32) + _vector(1, b"") + _shorts(offered) + b"\x02\x01\x00"  # DEFLATE, none
    if version == "TLSv1.3":
        body = body[:-3] + b"\x01\x00"
    body += _vector(2, extensions) if extensions else b""
    return b"\x16" + struct.pack(">H", min(number, 0x0301)) + _vector(2, b"\x01" + _vector(3, body))


def _extensions(version: str, server_name: str | None, groups: Sequence[int]) -> bytes:
    parts = [_extension(0, _vector(2, b"\x00" + _vector(2, server_name.encode("ascii", "replace"))))] if server_name else []
    parts += [_extension(10, _shorts(groups)), _extension(11, b"\x01\x00")]
    if version == "TLSv1.3":
        parts += [_extension(13, _shorts(SIGNATURES)), _extension(43, _vector(1, b"\x03\x04")), _extension(51, _vector(2, b""))]
    else:
        parts += [_extension(0xFF01, b"\x00"), _extension(23, b"")]
        parts += [_extension(13, _shorts((*SIGNATURES, *SIGNATURES_OLD)))] if version == "TLSv1.2" else []
    return b"".join(parts)


def _hello_2() -> bytes:
    """CLIENT-HELLO of SSL 2.0 with every cipher kind."""
    body = struct.pack(">BHHHH", 1, 2, len(SSL2_CIPHERS), 0, 16) + SSL2_CIPHERS + os.urandom(16)
    return struct.pack(">H", 0x8000 | len(body)) + body


@dataclass
class Answer:
    """What a server sent after a hello, fed piece by piece."""

    received: int = 0
    first: bytes = b""
    """The first bytes, to tell other protocols by."""
    is_tls: bool = False
    alert: int | None = None
    version: int | None = None
    """Version chosen; 2 for SSL 2.0."""
    suite: int | None = None
    compression: int = 0
    extensions: frozenset[int] = frozenset()
    group: int | None = None
    """Group that TLS 1.3 asked for in HelloRetryRequest."""
    certificates: list[bytes] = field(default_factory=list)
    dh_bits: int | None = None
    seen: set[int] = field(default_factory=set)
    """Handshake messages seen, by type."""
    _records: bytearray = field(default_factory=bytearray)
    _messages: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Take what was received. ValueError if it is not TLS, or more than a handshake can be."""
        self.received += len(data)
        self.first = (self.first + data)[:64] if len(self.first) < 64 else self.first
        if self.received > MAX_ANSWER:
            raise ValueError("the answer does not end")
        self._records += data
        if not self.seen and len(self._records) >= 5 and self._records[0] & 0x80 and self._records[2] == 4:
            self._answer_2()
            return
        while len(self._records) >= 5 and self.alert is None:
            kind, major, length = self._records[0], self._records[1], int.from_bytes(self._records[3:5], "big")
            if kind not in {0x14, 0x15, 0x16, 0x17} or major != 3:
                raise ValueError("not TLS")
            self.is_tls = True
            if len(self._records) < 5 + length:
                return
            body = bytes(self._records[5 : 5 + length])
            del self._records[: 5 + length]
            if kind == 0x15:
                self.alert = body[1] if len(body) > 1 else 0
            elif kind == 0x16:
                self._messages += body
                self._handshake()

    def _answer_2(self) -> None:
        """SERVER-HELLO of SSL 2.0: it is spoken if a certificate and at least one cipher are announced."""
        self.is_tls = True
        if len(self._records) >= 13:
            certificate, ciphers = struct.unpack(">HH", self._records[7:11])
            self.seen.update({SERVER_HELLO, DONE})
            self.version = 2 if certificate and ciphers else None

    def _handshake(self) -> None:
        while len(self._messages) >= 4:
            kind, length = self._messages[0], int.from_bytes(self._messages[1:4], "big")
            if length > MAX_ANSWER:
                raise ValueError("a handshake message of impossible length")
            if len(self._messages) < 4 + length:
                return
            body = bytes(self._messages[4 : 4 + length])
            del self._messages[: 4 + length]
            self._message(kind, body)
            self.seen.add(kind)

    def _message(self, kind: int, body: bytes) -> None:
        try:
            if kind == SERVER_HELLO:
                self._server_hello(body)
            elif kind == CERTIFICATE:
                self.certificates = _certificates(body)
            elif kind == KEY_EXCHANGE and self.suite is not None and has_finite_group(self.suite):
                self.dh_bits = int.from_bytes(body[2 : 2 + int.from_bytes(body[:2], "big")], "big").bit_length()
        except (IndexError, struct.error):
            raise ValueError("a handshake message that is cut") from None

    def _server_hello(self, body: bytes) -> None:
        self.version = struct.unpack(">H", body[:2])[0]
        at = 35 + body[34]
        self.suite, self.compression = struct.unpack(">HB", body[at : at + 3])
        at += 5
        kinds = set()
        while at + 4 <= len(body):
            kind, length = struct.unpack(">HH", body[at : at + 4])
            value = body[at + 4 : at + 4 + length]
            kinds.add(kind)
            if kind == 43 and len(value) == 2:
                self.version = struct.unpack(">H", value)[0]
            elif kind == 51 and len(value) >= 2:
                self.group = struct.unpack(">H", value[:2])[0]
            at += 4 + length
        self.extensions = frozenset(kinds)


def _certificates(body: bytes) -> list[bytes]:
    """The chain as presented, leaf first (RFC 5246 7.4.2)."""
    found, at, end = [], 3, 3 + int.from_bytes(body[:3], "big")
    if end > len(body):
        raise ValueError("a certificate list that is cut")
    while at + 3 <= end:
        length = int.from_bytes(body[at : at + 3], "big")
        if not length or at + 3 + length > end:
            raise ValueError("a certificate that is cut")
        found.append(body[at + 3 : at + 3 + length])
        at += 3 + length
    return found
