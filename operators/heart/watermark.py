"""The watermark of a key group that is fed by several origins."""

from collections.abc import Iterable

from operators.heart.lateness import BEFORE_TIME


class Origins:
    """The least watermark of all origins; time does not pass an origin that has not spoken yet."""

    def __init__(self, names: Iterable[str]) -> None:
        self.watermarks: dict[str, int] = dict.fromkeys(names, BEFORE_TIME)

    def advance(self, origin: str, watermark: int) -> None:
        """An origin says how far it is; a watermark never goes back."""
        self.watermarks[origin] = max(self.watermarks[origin], watermark)

    @property
    def watermark(self) -> int:
        """How far all of them are."""
        return min(self.watermarks.values())
