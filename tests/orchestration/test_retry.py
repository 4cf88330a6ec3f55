from __future__ import annotations

from collections.abc import Iterator

import pytest
from airflow.sdk import ExceptionRetryPolicy, RetryAction

from keymuster.errors import KeymusterError
from keymuster.orchestration.retry import POLICY


def tree(root: type[KeymusterError]) -> Iterator[type[KeymusterError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize("error", [e for e in tree(KeymusterError) if e.__module__.startswith("keymuster.")])
@pytest.mark.parametrize("policy", [POLICY, ExceptionRetryPolicy.deserialize(POLICY.serialize())], ids=["made", "deserialized"])
def test_each_error_is_tried_again_exactly_if_it_says_so(error: type[KeymusterError], policy: ExceptionRetryPolicy) -> None:
    decision = policy.evaluate(error("x"), try_number=1, max_tries=3)
    assert decision.action == (RetryAction.RETRY if error.retryable else RetryAction.FAIL)


def test_foreign_errors_get_the_usual_retries() -> None:
    assert POLICY.evaluate(OSError(), try_number=1, max_tries=3).action == RetryAction.DEFAULT
