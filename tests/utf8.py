"""UTF-8 in pieces as Python's incremental decoder sees it: what the core is compared with."""

from __future__ import annotations

import codecs


class Utf8:
    """Takes bytes one by one, and stops at the first that no valid text has there."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def take(self, data: bytes) -> int:
        """How many bytes can stand there: all, or up to the fault."""
        for place in range(len(data)):
            try:
                self.decoder.decode(data[place : place + 1])
            except UnicodeDecodeError:
                return place
            # Python waits for the third byte of a surrogate, which no third byte makes valid.
            if b"\xed\xa0" <= self.decoder.getstate()[0] <= b"\xed\xbf":
                return place
        return len(data)

    @property
    def whole(self) -> bool:
        """Whether the text may end here."""
        return not self.decoder.getstate()[0]
