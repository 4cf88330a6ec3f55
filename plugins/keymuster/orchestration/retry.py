"""Which errors are tried again: `errors.KeymusterError.retryable`, said once in Airflow's words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from keymuster.errors import KeymusterError

DELAY = timedelta(minutes=2)


def _tree(root: type[KeymusterError]) -> Iterator[type[KeymusterError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[error for error in _tree(KeymusterError) if error.retryable],
            action=RetryAction.RETRY,
            retry_delay=DELAY,
            reason="the other side may be back later",
        ),
        RetryRule(exception=KeymusterError, action=RetryAction.FAIL, reason="no retry mends this"),
    ],
    default=RetryAction.DEFAULT,
)
"""An error that is none of ours is a defect or the machine's trouble, and gets Airflow's usual retries."""

RETRIES: dict[str, Any] = {"retries": 3, "retry_delay": DELAY, "retry_exponential_backoff": 2.0, "retry_policy": POLICY}
"""For `default_args`."""
