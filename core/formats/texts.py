"""Text files of an archive."""

import codecs

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class TextError(ValueError):
    """The file is no text that is read here; the message names the cause and what to do."""


def decode_text(content: bytes) -> str:
    """Return UTF-8 text without its byte order mark. Raises :class:`TextError`."""
    if content.startswith(_UTF16) or b"\0" in content[:4096]:
        raise TextError("is UTF-16 or binary: save it as UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"is not UTF-8 text (byte {error.start + 1}): save it as UTF-8") from error
