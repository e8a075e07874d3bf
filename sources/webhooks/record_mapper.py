"""One raw record to canonical events, as its route's profile says."""

from config.problems import ConfigurationError, Problem
from sources.mapping.contract import ContractCounts
from sources.mapping.errors import ConversionError, MappingError
from sources.mapping.mapper import Mapped, Mapper, Refusal
from sources.mapping.profile import Profile
from sources.webhooks.raw import LEFT_OUT, RawDelivery
from sources.webhooks.resource import envelope, opened


class RecordMapper:
    """The profile of one route, with the key of what its platform encrypts."""

    def __init__(self, profile: Profile, resource_key: bytes | None = None) -> None:
        """Raises ConfigurationError for a profile that cannot map records one by one."""
        try:
            self._mapper = Mapper(profile)
        except ConversionError as error:
            raise ConfigurationError(profile.name, [Problem("inputs", str(error))]) from error
        self._resource_key = resource_key
        self.source = profile.source

    def map(self, body: bytes, raw: RawDelivery, counts: ContractCounts | None = None) -> Mapped:
        """All events of a raw record, and why others could not be made. Never raises, whatever the body holds.

        ``counts`` gets what the record looked like.
        """
        if counts is not None:
            _count_around(body, raw, counts)
        try:
            message = opened(body, self._resource_key)
        except MappingError as error:
            if counts is not None:
                counts.refused(error.field, error.reason)
            return Mapped([], [Refusal(error.reason, error.field, error.what, error.remedy)])
        return self._mapper.map(message, raw.received_ms, counts)


def _count_around(body: bytes, raw: RawDelivery, counts: ContractCounts) -> None:
    """The headers of a delivery, and what stands around a sealed body. Headers are a webhook's alone."""
    if raw.headers:
        counts.names("header", raw.headers)
        counts.traits({name: value for name, value in raw.headers.items() if value != LEFT_OUT})
    outside = envelope(body)
    if outside:
        counts.names("field", outside)
        counts.traits(outside)
