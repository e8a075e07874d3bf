"""The demo's live view: what an operator's board would show, read from the read model while the flow writes it."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from console.output import local_time, number, table
from console.tally import Tally
from console.view import ReadModelView, ViewError, ViewState
from events.records import AlertRecord

Language = Literal["zh", "en"]

_RATE_SECONDS = 3.0
_SEVERITY = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
_MARK = {"opened": "●", "updated": "↻", "acknowledged": "☑", "resolved": "✓"}


class LiveView:
    """Renders itself anew whenever it is asked; ``render`` may be called from another thread than the flow's.

    ``total``: how many events will come. ``height``: how many lines the feed of alerts may take.
    """

    def __init__(
        self,
        view: ReadModelView,
        tally: Tally,
        zone: str,
        languages: tuple[Language, ...],
        *,
        total: int,
        height: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._tally = tally
        self._zone = zone
        self._languages = languages
        self._total = total
        self._entries = max(2, height // len(languages))
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()
        self._state: ViewState | None = None
        self._feed: list[AlertRecord] = []

    def render(self) -> RenderableType:
        """The board as it is now."""
        with suppress(ViewError):  # while the server ends, the last picture stays
            self._state, self._feed = self._view.state(), self._view.newest(self._entries)
        if self._state is None or self._state.watermark is None:
            return Panel("The flow is starting ...", title="OrderPulse", border_style="cyan")
        board = Table.grid(expand=True)
        board.add_row(self._head(self._state))
        board.add_row(Text())
        board.add_row(self._rules(self._state))
        board.add_row(Text())
        board.add_row(Group(*(self._entry(alert) for alert in self._feed)))
        return Panel(board, title="OrderPulse", subtitle="Ctrl-C ends it", border_style="cyan")

    def _head(self, state: ViewState) -> RenderableType:
        now = self._clock()
        self._seen.append((now, state.events))
        while now - self._seen[0][0] > _RATE_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (state.events - before) / (now - since) if now > since else 0.0
        head = Table.grid(padding=(0, 3))
        reached = "-" if state.watermark is None else local_time(state.watermark // 1000 * 1000, self._zone)
        head.add_row(
            Text.assemble("event time ", (reached, "bold")),
            Text.assemble((number(state.events), "bold"), " events"),
            Text.assemble((number(rate), "bold"), " a second"),
            ProgressBar(self._total, min(state.events, self._total), width=24),
        )
        return head

    def _rules(self, state: ViewState) -> RenderableType:
        opened = {rule: steps.get("opened", 0) for rule, steps in self._tally.by_rule().items()}
        rows = [
            (rule, Text(number(count), style="bold" if count else "dim"), number(opened.get(rule, 0)))
            for rule, count in state.open_alerts.items()
        ]
        rows.append(("orders held", Text(number(state.holds), style="bold" if state.holds else "dim"), ""))
        return table(("alerts", "open now", "so far"), rows, numbers=("open now", "so far"))

    def _entry(self, alert: AlertRecord) -> RenderableType:
        """One step of an alert: its local time, what happened, and its text in each language."""
        style = "green" if alert.step == "resolved" else _SEVERITY[alert.severity]
        clock = local_time(alert.time // 1000 * 1000, self._zone)[5:19]
        lines = [
            Text.assemble((f"{clock} ", "dim"), (_MARK[alert.step] + " ", style), getattr(alert.text, language))
            if place == 0
            else Text.assemble(" " * 17, (getattr(alert.text, language), "dim"))
            for place, language in enumerate(self._languages)
        ]
        for line in lines:
            line.no_wrap = True
            line.overflow = "ellipsis"
        return Group(*lines)
