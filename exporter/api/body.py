"""The bytes of an answer: unpacked as they come, and never beyond a limit."""

import zlib

#: zlib's word for a gzip header and trailer around the data.
_GZIP_WBITS = 16 + zlib.MAX_WBITS


class TooLargeError(Exception):
    """More bytes than allowed."""


class Body:
    """The bytes of one answer, unpacked as they come.

    The session leaves them packed, because only here is the limit kept at every step: a few packed kilobytes can
    stand for gigabytes.

    Attributes:
        size_bytes: what came over the network so far.
    """

    def __init__(self, max_bytes: int) -> None:
        """Nothing came yet.

        Args:
            max_bytes: that it may have, unpacked.
        """
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._unpacked: list[bytes] = []
        self._unpacked_bytes = 0
        self._gzip = False
        self._member: zlib._Decompress | None = None

    def begin(self, encoding: str) -> None:
        """How the bytes are packed: the value of Content-Encoding."""
        match encoding.strip().lower():
            case "" | "identity":
                self._gzip = False
            case "gzip" | "x-gzip":
                self._gzip = True
            case _:
                raise zlib.error("an encoding that was not asked for")

    def feed(self, chunk: bytes) -> None:
        """The next bytes from the network.

        Raises:
            TooLargeError: beyond the limit.
            zlib.error: not what `begin` was told.
        """
        self.size_bytes += len(chunk)
        if not self._gzip:
            self._take(chunk)
        while self._gzip and chunk:
            if self._member is None:
                self._member = zlib.decompressobj(_GZIP_WBITS)
            # One byte beyond the limit is enough to know, and never 0, which would mean no limit.
            self._take(self._member.decompress(chunk, self._max_bytes - self._unpacked_bytes + 1))
            chunk = self._member.unconsumed_tail or self._member.unused_data
            if self._member.eof:
                self._member = None

    def _take(self, data: bytes) -> None:
        self._unpacked.append(data)
        self._unpacked_bytes += len(data)
        if self._unpacked_bytes > self._max_bytes:
            raise TooLargeError

    def end(self) -> bytes:
        """The whole body.

        Raises:
            EOFError: the packed bytes stop in the middle.
        """
        if self._member is not None:
            raise EOFError
        return b"".join(self._unpacked)
