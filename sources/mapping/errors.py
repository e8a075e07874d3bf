"""Why a record gives no event, or not this one."""


class MappingError(Exception):
    """One event could not be made. ``reason`` is a word to count by; ``what`` and ``remedy`` are for a person."""

    def __init__(self, reason: str, field: str, what: str, remedy: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.field = field
        self.what = what
        self.remedy = remedy


def bad_value(error: Exception, origin: str, name: str) -> MappingError:
    """Why a value could not be read. ``origin``: where it stood; ``name``: the field it was for."""
    what, _, remedy = str(error).rpartition(": ")
    reason = getattr(error, "reason", "bad_value")
    return MappingError(reason, f"{origin} -> {name}" if origin else name, what or remedy, remedy)


class ConversionError(Exception):
    """The inputs as a whole cannot be converted: a file does not exist, or no part of the profile knows it."""
