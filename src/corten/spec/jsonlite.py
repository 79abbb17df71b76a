"""JSON by the C scanner and encoder of CPython, without importing ``json``.

``json`` costs 8 ms of a fresh interpreter, nearly all of it for ``re``; its two C
functions in ``_json`` cost 0.4. What comes out is the same; errors are
:class:`corten.errors.InvalidArgument` with the offset.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHITESPACE = " \t\n\r"


class _Context:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(text: str) -> Any:
        raise InvalidArgument(f"{text} is not JSON")


_scan = make_scanner(_Context())  # type: ignore[arg-type] # any object with these attributes


def loads(data: str | bytes | bytearray | memoryview, *, what: str = "document") -> Any:
    """Decode one JSON value.

    Arguments:
        data: text, or its UTF-8 bytes.
        what: what the document is, for the error.
    Raises:
        InvalidArgument: not JSON, or something follows it.
    """
    try:
        text = data if isinstance(data, str) else bytes(data).decode("utf-8")
        stripped = text.lstrip(_WHITESPACE)
        value, end = _scan(stripped, 0)
    except InvalidArgument:
        raise
    except StopIteration as stop:
        raise InvalidArgument(f"{what} is not JSON: no value at character {stop.value}") from None
    except RecursionError:
        raise InvalidArgument(f"{what} is nested too deeply") from None
    except SystemError:  # what the scanner says where nobody has imported json.decoder
        raise InvalidArgument(f"{what} is not JSON: it is cut off or malformed") from None
    except (ValueError, ImportError) as error:  # the scanner imports json.decoder to complain
        raise InvalidArgument(f"{what} is not JSON: {error}") from None
    if stripped[end:].strip(_WHITESPACE):
        raise InvalidArgument(f"{what} has text behind the JSON value, at character {end}")
    return value


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _float(value: float) -> str:
    return float.__repr__(value)


# markers, default, encoder, indent, key separator, item separator, sort, skip, allow_nan
_compact = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)
_ascii = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False)


def dumps(value: Any) -> str:
    """Encode compactly, characters beyond ASCII as they are."""
    return "".join(_compact(value, 0))


def dumpb(value: Any) -> bytes:
    """Encode to UTF-8; lone surrogates (from ``os.fsdecode``) become escapes."""
    try:
        return "".join(_compact(value, 0)).encode("utf-8")
    except UnicodeEncodeError:
        return "".join(_ascii(value, 0)).encode("ascii")


def pretty(value: Any, indent: str = "  ", *, _level: int = 0) -> str:
    """Encode with one member a line, as people read it."""
    pad = indent * (_level + 1)
    if isinstance(value, dict) and value:
        rows = [
            f"{pad}{dumps(str(k))}: {pretty(v, indent, _level=_level + 1)}"
            for k, v in value.items()
        ]
        return "{\n" + ",\n".join(rows) + "\n" + indent * _level + "}"
    if isinstance(value, (list, tuple)) and value:
        rows = [pad + pretty(item, indent, _level=_level + 1) for item in value]
        return "[\n" + ",\n".join(rows) + "\n" + indent * _level + "]"
    return dumps(value)
