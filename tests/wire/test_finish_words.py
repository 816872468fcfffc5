"""What servers call the end of an answer, and what that means."""

import pytest

from proxy.wire.finish_words import FAILED, REASONS, meaning


@pytest.mark.parametrize(
    ("reason", "means"),
    [
        ("STOP", "stop"),
        ("FINISH_REASON_MAX_TOKENS", "length"),
        ("Max Tokens", "length"),
        ("max_tokens_exceeded", "length"),
        ("repetition_truncation", "length"),
        ("incomplete", "length"),
        ("ERROR_LIMIT", "length"),
        ("ERROR_TOXIC", "content_filter"),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter"),
        ("unsafe-output", "content_filter"),
        ("toolUse", "tool_calls"),
        ("USER_CANCEL", FAILED),
        ("upstream_error", FAILED),
        ("request_timed_out", FAILED),
        ("rate_limit", FAILED),
        ("no_error", "stop"),
        ("vanished", None),
        ("null", None),
        ("FINISH_REASON_UNSPECIFIED", None),
        ("", None),
    ],
)
def test_meaning(reason: str, means: str | None) -> None:
    assert meaning(reason) == means


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_words_of_openai_mean_themselves(reason: str) -> None:
    assert meaning(reason) == meaning(reason.upper()) == reason
