"""Settings of fallback orders that could not work are refused, each with its field."""

import pytest

from config.loader import load_settings
from config.problems import ConfigurationError


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("batch", "7m", "part a day evenly"),
        ("batch", "30s", "at least 1m"),
        ("notice_zh", "编号 {number}", r"\{number\} is not known here"),
        ("notice_en", "number {order_id", "write a brace that stands for itself twice"),
        ("keys", ["phone"], "Invalid enum value"),
    ],
)
def test_what_could_not_work_is_refused(field: str, value: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"fallback\.{field}.*{why}"):
        load_settings(overrides={"fallback": {field: value}})
