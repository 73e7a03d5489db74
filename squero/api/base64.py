"""Base64, strictly and several times faster than the standard library reads it."""

from binascii import a2b_base64
from typing import Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

_QUICK: Final = TypeAdapter(bytes, config=ConfigDict(val_json_bytes="base64"))
_FOREIGN: Final = (b"-", b"_", b'"', b"\\")
"""What the quick reader would take for another alphabet's, or for JSON's own."""


def decoded(text: bytes) -> bytes:
    """The bytes that standard base64 spells, in whole groups of four; raises ValueError."""
    if len(text) % 4 == 0 and not any(mark in text for mark in _FOREIGN):
        try:
            return _QUICK.validate_json(b'"%b"' % text)
        except ValidationError:
            # What is wrong with it, if anything is, is for the other to say.
            pass
    return a2b_base64(text, strict_mode=True)
