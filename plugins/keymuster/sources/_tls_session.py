"""One TLS service: connect, upgrade (STARTTLS), shake hands, and ask by hand-made hellos which versions and suites it takes.

The chain comes from OpenSSL's handshake, which also proves that the server holds the key. Up to Python 3.12 the chain *as presented*
is only on the private `_sslobj` (public from 3.13 on); where OpenSSL cannot speak with an old server, the Certificate message of the
plain hello is taken.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from keymuster.sources import _tls_hello as hello

LDAP_STARTTLS = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
POSTGRES_SSL = bytes.fromhex("0000000804d2162f")


class Declined(Exception):
    """The server answers, and not with TLS; holds its first bytes."""


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to ask."""

    host: str
    port: int
    server_name: str | None
    starttls: str | None
    in_range: str | None = None
    """The CIDR range that it was drawn from."""


@dataclass
class Seen:
    """What one service answered."""

    target: Target
    silence: str | None = None
    """Why nothing can be said: it does not answer."""
    is_closed: bool = False
    """The port turned the connection down."""
    banner: bytes = b""
    versions: list[str] = field(default_factory=list)
    suites: list[int] = field(default_factory=list)
    chain: list[bytes] = field(default_factory=list)
    dh_bits: list[int] = field(default_factory=list)
    unfinished: str | None = None
    """Why the sweep ended early."""
    old_hello: hello.Answer | None = None
    """ServerHello of the newest version before TLS 1.3."""


async def _lines(streams: Streams, steps: Any) -> None:
    """Exchange of lines: wait for a line that begins so, send this."""
    reader, writer = streams
    for expected, answer in steps:
        line = await reader.readline()
        first = line
        while line[3:4] == b"-":  # SMTP and FTP mark all lines but the last one
            line = await reader.readline()
        if not line.startswith(expected):
            raise Declined(first[:64])
        writer.write(answer)


async def _smtp(s: Streams) -> None:
    await _lines(s, [(b"220", b"EHLO keymuster\r\n"), (b"250", b"STARTTLS\r\n"), (b"220", b"")])


async def _imap(s: Streams) -> None:
    await _lines(s, [(b"* OK", b"k1 STARTTLS\r\n"), (b"k1 OK", b"")])


async def _pop3(s: Streams) -> None:
    await _lines(s, [(b"+OK", b"STLS\r\n"), (b"+OK", b"")])


async def _ftp(s: Streams) -> None:
    await _lines(s, [(b"220", b"AUTH TLS\r\n"), (b"234", b"")])


async def _ldap(s: Streams) -> None:
    """ExtendedRequest (RFC 4511 4.14); the answer's resultCode must be success."""
    s[1].write(LDAP_STARTTLS)
    answer = await s[0].read(512)
    if b"\x0a\x01\x00" not in answer[:24]:
        raise Declined(answer[:64])


async def _postgres(s: Streams) -> None:
    s[1].write(POSTGRES_SSL)
    if (answer := await s[0].read(1)) != b"S":
        raise Declined(answer)


STARTTLS: Mapping[str, Callable[[Streams], Awaitable[None]]] = MappingProxyType(
    {"smtp": _smtp, "imap": _imap, "pop3": _pop3, "ftp": _ftp, "ldap": _ldap, "postgres": _postgres}
)


def permissive_context() -> ssl.SSLContext:
    """A client that talks to everybody: the audit looks, it sends nothing and trusts nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is looked for
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:!aNULL:!eNULL:@SECLEVEL=0")
    context.options |= getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)
    return context


class Session:
    """Asks one target; every step is bounded in time."""

    def __init__(self, target: Target, context: ssl.SSLContext, timeout: float) -> None:
        self.target, self.context, self.timeout = target, context, timeout
        self.seen = Seen(target)
        self.is_connected = False

    async def run(self) -> Seen:
        """Everything about the target; nothing is raised for what a server does."""
        try:
            await self._bounded(self._handshake)
        except Declined as error:
            self.seen.banner = error.args[0] or b"\0"
        except TimeoutError:
            self.seen.silence = f"no answer within {self.timeout:g} s"
        except (ssl.SSLError, EOFError):
            self.is_connected = True  # OpenSSL cannot speak with it, or it is another protocol; a plainer hello tells
        except OSError as error:
            self.seen.silence = error.strerror or type(error).__name__
            self.seen.is_closed = isinstance(error, ConnectionRefusedError)
        if self.is_connected and not self.seen.banner:
            await self._sweep()
        return self.seen

    async def _bounded(self, step: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        async with asyncio.timeout(self.timeout):
            reader, writer = await asyncio.open_connection(self.target.host, self.target.port)
            self.is_connected = True
            try:
                if self.target.starttls:
                    await STARTTLS[self.target.starttls]((reader, writer))
                return await step((reader, writer), *arguments)
            finally:
                writer.transport.abort()

    async def _handshake(self, streams: Streams) -> None:
        """OpenSSL over memory, so that it works behind STARTTLS as well."""
        reader, writer = streams
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, server_hostname=self.target.server_name)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                data = await reader.read(16384)
                if not data:
                    raise EOFError from None
                incoming.write(data)
        self.seen.chain = presented_chain(tls)

    async def _sweep(self) -> None:
        """Each version, then each suite; an answer that is not TLS ends it."""
        try:
            for version in reversed(list(hello.VERSIONS)):
                await self._version(version)
            self.seen.silence = None
        except Declined as error:
            self.seen.banner, self.seen.silence = error.args[0] or b"\0", None
        except TimeoutError:
            self.seen.unfinished = f"a hello was not answered within {self.timeout:g} s"
        except OSError as error:
            self.seen.unfinished = error.strerror or type(error).__name__
        if self.seen.versions or self.seen.chain:
            self.seen.silence = None
        self.seen.versions.reverse()

    async def _version(self, version: str) -> None:
        left = list(hello.suites_of(version))
        while left:
            answer = await self._ask(version, left)
            if answer.version != hello.VERSIONS[version]:
                break
            if version not in self.seen.versions:
                self.seen.versions.append(version)
                self._note(version, answer)
            if answer.suite is None or answer.suite not in left:
                break
            left.remove(answer.suite)
            self.seen.suites += [answer.suite] if answer.suite not in self.seen.suites else []
            self.seen.dh_bits += [answer.dh_bits] if answer.dh_bits else []
        if version == "TLSv1.3" and version in self.seen.versions:
            await self._finite_groups()

    def _note(self, version: str, answer: hello.Answer) -> None:
        if version not in {"SSLv2", "TLSv1.3"} and self.seen.old_hello is None:
            self.seen.old_hello = answer
        if not self.seen.chain:
            self.seen.chain = answer.certificates

    async def _finite_groups(self) -> None:
        """The smallest finite-field group that TLS 1.3 takes."""
        for group, bits in hello.FINITE_GROUPS.items():
            answer = await self._ask("TLSv1.3", hello.suites_of("TLSv1.3"), (group,))
            if answer.version == hello.VERSIONS["TLSv1.3"]:
                self.seen.dh_bits.append(bits)
                return

    async def _ask(self, version: str, offered: Any, groups: Any = hello.GROUPS) -> hello.Answer:
        answer: hello.Answer = await self._bounded(self._exchange, version, offered, groups)
        return answer

    async def _exchange(self, streams: Streams, version: str, offered: Any, groups: Any) -> hello.Answer:
        reader, writer = streams
        answer = hello.Answer()
        writer.write(hello.client_hello(version, offered, self.target.server_name, groups))
        while answer.alert is None and not self._is_enough(answer, version):
            try:
                data = await reader.read(16384)
            except ConnectionError:
                return answer
            if not data:
                return answer
            try:
                answer.feed(data)
            except ValueError:
                if answer.is_tls or self.seen.chain or self.seen.versions:
                    return answer
                raise Declined(answer.first) from None
        return answer

    def _is_enough(self, answer: hello.Answer, version: str) -> bool:
        if hello.SERVER_HELLO not in answer.seen:
            return False
        if version in {"SSLv2", "TLSv1.3"} or answer.version != hello.VERSIONS[version] or answer.suite is None:
            return True
        wanted = (
            hello.KEY_EXCHANGE if hello.has_finite_group(answer.suite) else hello.SERVER_HELLO if self.seen.chain else hello.CERTIFICATE
        )
        return wanted in answer.seen or hello.DONE in answer.seen


def presented_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Certificates in the order of the Certificate message."""
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return [bytes(der) for der in public()]
    private: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 (see the module's first lines)
    return [bytes(certificate.public_bytes(2)) for certificate in private.get_unverified_chain() or ()]  # 2: ENCODING_DER
