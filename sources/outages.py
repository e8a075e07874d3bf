"""Which partitions do not answer, since when and why; written by the reader, read from any thread."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sources.kafka_client import log
from sources.reader import Unreachable, Waiting


class Outages:
    """Keeps what is unreachable of ``partitions``. ``where``: what to call all of them, in words for people.

    A leader that answers shows that it is there; whether records can be fetched from it, only a record shows, or that
    there is none to fetch. So the two are kept apart, and a partition is unreachable by either.
    """

    def __init__(self, partitions: Sequence[str], where: str) -> None:
        self._expected = frozenset(partitions)
        self._where = where
        self._silent: dict[str, Unreachable] = {}
        self._failing: dict[str, Unreachable] = {}
        self._all: Mapping[str, Unreachable] = {}
        self.waiting: Waiting | None = None

    def current(self) -> Mapping[str, Unreachable]:
        """The partitions that are unreachable now."""
        return self._all

    def unanswered(self, name: str, since: int, cause: str) -> None:
        """A question to the partition's leader, asked at ``since`` (epoch ms), got no answer."""
        self._add(self._silent, name, since, cause)

    def failed(self, name: str, since: int, cause: str) -> None:
        """Fetching failed."""
        self._add(self._failing, name, since, cause)

    def answered(self, name: str) -> None:
        """The leader answered a question."""
        self._remove((self._silent,), name)

    def delivered(self, name: str) -> None:
        """Records came, or there are none to come."""
        self._remove((self._silent, self._failing), name)

    def forget(self, name: str) -> None:
        """The partition is not read any more."""
        self._expected -= {name}
        self._remove((self._silent, self._failing), name)
        self._publish()

    def _add(self, kind: dict[str, Unreachable], name: str, since: int, cause: str) -> None:
        if name in kind or name not in self._expected:
            return
        kind[name] = Unreachable(since, cause)
        moment = datetime.fromtimestamp(since / 1000, tz=UTC).isoformat(timespec="milliseconds")
        log.warning("%s: %s (since %s); trying again", name, cause, moment.replace("+00:00", "Z"))
        self._publish()

    def _remove(self, kinds: Sequence[dict[str, Unreachable]], name: str) -> None:
        known = [kind for kind in kinds if name in kind]
        for kind in known:
            del kind[name]
        if known:
            if name not in self._silent and name not in self._failing:
                log.info("%s: is read again", name)
            self._publish()

    def _publish(self) -> None:
        """New objects, never changed later: another thread may be reading the old ones."""
        self._all = self._failing | self._silent
        self.waiting = None
        if self._expected and self._all.keys() >= self._expected:
            newest = max(self._all.values(), key=lambda each: each.since_ms)
            self.waiting = Waiting(
                newest.since_ms, f"no partition of the input answers at {self._where}: {newest.cause}"
            )
