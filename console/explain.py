"""``orderpulse explain``: why an order alerted, or why not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.loader import load_settings
from config.units import Instant
from console.errors import FailedError, WrongUseError
from console.options import KAFKA, Config, Json, is_kafka, moment
from console.output import to_stderr

if TYPE_CHECKING:
    from dataflows.explain_history import OnProgress
    from events.explanation import Explanation
    from sources.history import Inputs


class InLanguage(StrEnum):
    """The language of the text."""

    ZH = "zh"
    EN = "en"


def explain(  # noqa: PLR0913, PLR0917  # one argument for each option
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")],
    input_: Annotated[
        list[Path],
        typer.Option(
            "--input", metavar="PATH|kafka", help="Event files, or directories of them; or the topics. May be repeated."
        ),
    ],
    config: Config = None,
    rule: Annotated[
        str | None, typer.Option("--why-not", metavar="RULE", help="Only why this rule did not alert.")
    ] = None,
    alert: Annotated[
        str | None, typer.Option("--alert", metavar="ID", help="Only what led to this alert: its id or its episode.")
    ] = None,
    start: Annotated[
        Instant | None, moment("--from", "Leave out what is older: quicker, but what began before is not known.")
    ] = None,
    until: Annotated[Instant | None, moment("--until", "Let time end here, before or after the last event.")] = None,
    language: Annotated[InLanguage, typer.Option("--language", metavar="zh|en", help="The language.")] = InLanguage.EN,
    whole: Annotated[
        bool, typer.Option("--all", help="With timers, notes, facts, and every window and limit.")
    ] = False,
    json_: Json = False,
) -> None:
    """Explain an order: its events and versions, timers, windows, signals, what rules saw, alerts, holds.

    Its history is run once more through the same flow, watched. With the settings of the live run, alerts are the same
    as there.

    Examples:

        orderpulse explain SH260302000000007 --input events/

        orderpulse explain SH260302000000007 --input kafka --config shop.toml --why-not card_burst
    """
    from dataflows.explain import UnknownOrderError
    from dataflows.explain import explain as explained
    from dataflows.explain_history import History
    from dataflows.explain_why_not import rules_of

    settings = load_settings(config)
    if rule is not None and rule not in rules_of(settings):
        raise WrongUseError(f"--why-not {rule}: there is no such rule", f"rules are: {', '.join(rules_of(settings))}")
    if start is not None and until is not None and start >= until:
        raise WrongUseError("--from is not before --until", "name a time before it")
    with _progress() as told:
        history = History(settings, _inputs(input_), start=_plain(start), until=_plain(until), on_progress=told)
        try:
            explanation = explained(history, settings, order, rule=rule)
        except UnknownOrderError as error:
            where = ", ".join(map(str, input_))
            raise FailedError(
                f"{where}: no event names order {order!r}",
                "check the order's id and the input; with --from, begin earlier",
            ) from error
    if alert is not None:
        explanation = _of_alert(explanation, alert)
    if json_:
        _print_json(explanation)
        return
    from console.explain_view import ExplanationView

    view = ExplanationView(settings, language.value, whole=whole)
    if explanation.why_not is None:
        view.show(explanation, chain=alert is None)
    else:
        view.show_why_not(explanation, explanation.why_not)


def _inputs(given: list[Path]) -> "Inputs":
    if len(given) == 1 and is_kafka(given[0]):
        return KAFKA
    if any(map(is_kafka, given)):
        raise WrongUseError("--input names kafka and files", "read one or the other; a directory called kafka: ./kafka")
    return tuple(given)


def _plain(moment: Instant | None) -> int | None:
    return None if moment is None else int(moment)


def _of_alert(explanation: "Explanation", alert: str) -> "Explanation":
    from console.explain_alert import about_alert, episodes_of

    episode = alert.rpartition("#")[0] or alert
    known = episodes_of(explanation)
    if episode not in known:
        listed = "; ".join(known) or "none"
        raise WrongUseError(f"--alert {alert}: order {explanation.order_id} has no such alert", f"it has: {listed}")
    return about_alert(explanation, episode)


def _print_json(explanation: "Explanation") -> None:
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(explanation), indent=2).decode() + "\n")


@contextmanager
def _progress() -> "Iterator[OnProgress | None]":
    """A bar for each reading of the history, on a terminal."""
    from rich.progress import Progress

    console = to_stderr()
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("searching", total=1.0)

        def tell(what: str, share: float | None) -> None:
            progress.update(task, description=what, completed=share or 0.0)

        yield tell
