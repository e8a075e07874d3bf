"""The watermark of a key group that is fed by several origins."""

from collections.abc import Iterable

from operators.heart.lateness import AFTER_TIME, BEFORE_TIME


class Origins:
    """The least watermark of all origins; time does not pass an origin that has not spoken yet.

    An origin whose input has ended holds nobody back. Once all inputs have ended, time goes to the last event of any
    of them, and not to infinity.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.watermarks: dict[str, int] = dict.fromkeys(names, BEFORE_TIME)
        self._last = BEFORE_TIME

    def advance(self, origin: str, watermark: int, ended: int | None = None) -> None:
        """An origin says how far it is; a watermark never goes back."""
        if ended is not None:
            self._last = max(self._last, ended)
            watermark = AFTER_TIME
        if watermark > self.watermarks[origin]:  # noqa: PLR1730 - all key groups pass here with each step
            self.watermarks[origin] = watermark

    @property
    def watermark(self) -> int:
        """How far all of them are."""
        watermark = min(self.watermarks.values())
        return self._last if watermark == AFTER_TIME else watermark
