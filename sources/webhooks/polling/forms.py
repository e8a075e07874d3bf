"""How platforms' lists of orders are asked for: data, so that another platform needs no code."""

from datetime import UTC, datetime

from msgspec import Struct

from config.environment import expand_all
from config.settings import IntakePoll, SinceFormat

_SHOPIFY = {"status": "any", "order": "updated_at asc", "limit": "250", "updated_at_min": "{since}"}
_WOOCOMMERCE = {
    "modified_after": "{since}",
    "dates_are_gmt": "true",
    "orderby": "modified",
    "order": "asc",
    "per_page": "100",
    "page": "{page}",
}


class PollForm(Struct, frozen=True):
    """One interface. ``records``: where the records are in the answer; ``updated``: their moment of change.

    A ``query`` with ``{page}`` is paged by moments, for numbered pages shift while orders change; one without follows
    the ``next`` link of each answer.
    """

    url: str
    headers: dict[str, str]
    query: dict[str, str]
    records: str
    updated: str
    since_format: SinceFormat
    page_size: int

    @property
    def numbered(self) -> bool:
        """Whether pages have numbers."""
        return any("{page}" in value for value in self.query.values())

    def filled(self, since_ms: int, page: int) -> dict[str, str]:
        """The query of one request."""
        since = _written(since_ms, self.since_format)
        return {
            name: value.replace("{since}", since).replace("{page}", str(page)) for name, value in self.query.items()
        }

    def moment(self, value: object) -> int | None:
        """Epoch ms of a record's moment of change; None where it cannot be read."""
        try:
            if self.since_format == "iso":
                moment = datetime.fromisoformat(str(value))
                return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
            return int(str(value)) * (1000 if self.since_format == "epoch_s" else 1)
        except ValueError:
            return None


def poll_form(poll: IntakePoll) -> PollForm:
    """The adapter's form with what the settings say otherwise; raises UnsetVariableError."""
    base = _ADAPTERS[poll.adapter]
    return PollForm(
        url=poll.url,
        headers=expand_all(poll.headers),
        query=base.query | expand_all(poll.query),
        records=base.records if poll.records is None else poll.records,
        updated=poll.updated or base.updated,
        since_format=poll.since_format or base.since_format,
        page_size=poll.page_size or base.page_size,
    )


def _written(moment_ms: int, form: SinceFormat) -> str:
    if form == "iso":
        return datetime.fromtimestamp(moment_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(moment_ms // 1000 if form == "epoch_s" else moment_ms)


_ADAPTERS = {
    "shopify": PollForm("", {}, _SHOPIFY, "orders", "updated_at", "iso", 250),
    "woocommerce": PollForm("", {}, _WOOCOMMERCE, "", "date_modified_gmt", "iso", 100),
    "generic": PollForm("", {}, {}, "", "", "iso", 100),
}
