"""What is stored is packed, with a checksum: a flipped bit is found before it is believed."""

from typing import Final

import zstandard

SealError = zstandard.ZstdError
_COMPRESSOR: Final = zstandard.ZstdCompressor(level=1, write_checksum=True)
_DECOMPRESSOR: Final = zstandard.ZstdDecompressor()


def sealed(data: bytes) -> bytes:
    """Packed, with a checksum."""
    return _COMPRESSOR.compress(data)


def unsealed(data: bytes) -> bytes:
    """As it was; raises SealError when it is damaged."""
    return _DECOMPRESSOR.decompress(data)


def all_unsealed(data: bytes) -> list[bytes]:
    """What was sealed in portions, one behind the other, at least one; raises SealError when one is damaged."""
    found: list[bytes] = []
    while data or not found:
        portion = _DECOMPRESSOR.decompressobj()
        found.append(portion.decompress(data))
        if not portion.eof:
            raise SealError("it is cut off")
        data = portion.unused_data
    return found
