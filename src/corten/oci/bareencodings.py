"""``encodings`` for the interpreter of an init: UTF-8 alone.

An interpreter imports ``encodings`` when it starts. CPython's has a table of 300 names and
reads three files in a directory of 200: 1 ms in 7. This one stands in its way on the path of
:mod:`corten.oci.begin`'s second interpreter, whose settings ask for nothing but UTF-8.
"""

from __future__ import annotations

import codecs


class _Encoder(codecs.IncrementalEncoder):
    def encode(self, input: str, final: bool = False) -> bytes:  # the protocol's
        return codecs.utf_8_encode(input, self.errors)[0]


class _Decoder(codecs.BufferedIncrementalDecoder):
    # mypy: a built-in function binds no self
    _buffer_decode = codecs.utf_8_decode  # type: ignore[assignment]


_UTF_8 = codecs.CodecInfo(
    codecs.utf_8_encode,
    codecs.utf_8_decode,
    incrementalencoder=_Encoder,
    incrementaldecoder=_Decoder,
    name="utf-8",
)


def search(name: str) -> codecs.CodecInfo | None:
    """The codec of a normalised name."""
    return _UTF_8 if name.replace("-", "_") in ("utf_8", "utf8") else None


codecs.register(search)
