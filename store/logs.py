"""Log output that stops nothing: a line that cannot be written, on a full disk most of all, is lost."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast


class OptionalStream:
    """A text or binary stream whose failed writes are lost; everything else is the wrapped stream's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        """Write `data` where that works; its length in any case."""
        with contextlib.suppress(OSError):
            self._stream.write(data)
        return len(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write each of the lines, where that works."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, where that works."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    @property
    def buffer(self) -> OptionalStream:
        """The binary stream below a text stream, with failed writes lost as well."""
        return OptionalStream(self._stream.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def make_output_optional() -> None:
    """Let this process go on where its standard output and error take no more, from now until its end. Repeating it
    changes nothing.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, OptionalStream):
            setattr(sys, name, cast(TextIO, OptionalStream(stream)))
