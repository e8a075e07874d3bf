"""One raw record to canonical events, as its route's profile says."""

from config.problems import ConfigurationError, Problem
from sources.mapping.errors import ConversionError, MappingError
from sources.mapping.mapper import Mapped, Mapper, Refusal
from sources.mapping.profile import Profile
from sources.webhooks.raw import RawDelivery
from sources.webhooks.resource import opened


class RecordMapper:
    """The profile of one route, with the key of what its platform encrypts."""

    def __init__(self, profile: Profile, resource_key: bytes | None = None) -> None:
        """Raises ConfigurationError for a profile that cannot map records one by one."""
        try:
            self._mapper = Mapper(profile)
        except ConversionError as error:
            raise ConfigurationError(profile.name, [Problem("inputs", str(error))]) from error
        self._resource_key = resource_key

    def map(self, body: bytes, raw: RawDelivery) -> Mapped:
        """All events of a raw record, and why others could not be made. Never raises, whatever the body holds."""
        try:
            message = opened(body, self._resource_key)
        except MappingError as error:
            return Mapped([], [Refusal(error.reason, error.field, error.what, error.remedy)])
        return self._mapper.map(message, raw.received_ms)
