import pytest

from config.environment import UnsetVariableError, expand, expand_all


def test_a_secret_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_USER", "flow")
    monkeypatch.setenv("BROKER_PASSWORD", "p${x}")
    assert expand("${BROKER_USER}:${BROKER_PASSWORD}@") == "flow:p${x}@"
    assert expand_all({"sasl.username": "${BROKER_USER}"}) == {"sasl.username": "flow"}


def test_a_value_without_variables_stays_as_it_is() -> None:
    assert expand("$HOME {x} $5") == "$HOME {x} $5"


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROKER_PASSWORD", raising=False)
    with pytest.raises(UnsetVariableError, match="BROKER_PASSWORD is not set"):
        expand("${BROKER_PASSWORD}")
