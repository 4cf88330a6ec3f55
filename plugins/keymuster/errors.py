"""Every error that keymuster raises on purpose, in one tree.

    KeymusterError
    ├── ConfigurationError      a file or setting of ours is wrong; no retry mends it
    │   ├── ContentError        a rule, framework, policy, waiver, contract or template
    │   ├── EstateError         the estate file, a station in it, an unknown source
    │   ├── ConnectionMissing   an Airflow connection that a station names is not there
    │   └── NotRegistered       no source, fact, renderer or tracker of that name
    ├── SourceError             the other side did not give what was asked
    │   ├── Unreachable         no connection, time-out, 5xx, throttled (retryable)
    │   ├── Refused             credentials or rights were turned down
    │   └── BadAnswer           it answered what its contract does not allow
    ├── StoreError              the snapshot store
    │   ├── Corrupt             stored bytes do not match their digest or format
    │   └── StoreUnavailable    no space, no permission, no network (retryable)
    ├── LedgerError             the ledger's database (retryable)
    ├── NoEvidence              there is no snapshot to judge
    └── TrackerError            the ticket system
        ├── TrackerUnreachable  (retryable)
        └── TrackerRefused      it turned the ticket down

`retryable` says whether the same call may succeed later; `orchestration.retry` maps it once to Airflow's retry policy.
A message says what is wrong, where, and what to do or what there is instead. One unreadable item is a `Problem`, not an error.
"""

from __future__ import annotations


class KeymusterError(Exception):
    """Root of the tree; `str()` of it is fit to be shown to a user."""

    retryable: bool = False


class ConfigurationError(KeymusterError):
    """A file or setting of ours is wrong."""


class ContentError(ConfigurationError):
    """A rule, framework, policy, waiver, contract or template is wrong."""


class EstateError(ConfigurationError):
    """The estate file is wrong, or has no such station."""


class ConnectionMissing(ConfigurationError):
    """An Airflow connection that a station names is not there."""


class NotRegistered(ConfigurationError):
    """No module of that kind and name."""


class SourceError(KeymusterError):
    """The other side did not give what was asked."""


class Unreachable(SourceError):
    """No connection, a time-out, a server error or a throttle: later may be better."""

    retryable = True


class Refused(SourceError):
    """Credentials or rights were turned down."""


class BadAnswer(SourceError):
    """The answer is not one that the contract of the source allows."""


class StoreError(KeymusterError):
    """Something is wrong with the snapshot store."""


class Corrupt(StoreError):
    """Stored bytes do not match their digest or are not in their format."""


class StoreUnavailable(StoreError):
    """The store cannot be read or written at present: no space, no rights, no network."""

    retryable = True


class LedgerError(KeymusterError):
    """The database of findings and tickets cannot be used at present."""

    retryable = True


class NoEvidence(KeymusterError):
    """There is no snapshot that could be judged."""


class TrackerError(KeymusterError):
    """The ticket system failed us."""


class TrackerUnreachable(TrackerError):
    """The ticket system does not answer."""

    retryable = True
    sent: bool = True
    """Whether the request may have arrived; a tracker sets it to False where it certainly did not (connection refused, throttled)."""


class TrackerRefused(TrackerError):
    """The ticket system turned a request down."""
