"""Content encodings as servers use them on streams: piece by piece, each readable once it has come."""

import sys
import zlib
from collections.abc import Callable, Sequence

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def _zlib(window: int) -> Callable[[Sequence[bytes]], list[bytes]]:
    def encode(pieces: Sequence[bytes]) -> list[bytes]:
        encoder = zlib.compressobj(wbits=window)
        return [
            *(encoder.compress(piece) + encoder.flush(zlib.Z_SYNC_FLUSH) for piece in pieces),
            encoder.flush(),
        ]

    return encode


def _brotli(pieces: Sequence[bytes]) -> list[bytes]:
    encoder = brotli.Compressor()
    return [*(encoder.process(piece) + encoder.flush() for piece in pieces), encoder.finish()]


def _zstd(pieces: Sequence[bytes]) -> list[bytes]:
    encoder = zstd.ZstdCompressor()
    return [*(encoder.compress(piece, encoder.FLUSH_BLOCK) for piece in pieces), encoder.flush()]


#: From a Content-Encoding to what encodes pieces in it.
ENCODERS = {"gzip": _zlib(31), "deflate": _zlib(15), "br": _brotli, "zstd": _zstd}
