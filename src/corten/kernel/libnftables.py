"""libnftables by ctypes: run nft commands, text or JSON, atomically and without a process.

For the daemon; nothing that is forked per container imports this module.
"""

from __future__ import annotations

from ctypes import CDLL, c_bool, c_char_p, c_int, c_uint, c_void_p

from corten.errors import FailedPrecondition, Unavailable

_LIBRARY = "libnftables.so.1"
_OUTPUT_JSON = 1 << 4
_OUTPUT_HANDLE = 1 << 3


def _load() -> CDLL:
    try:
        library = CDLL(_LIBRARY)
    except OSError:
        raise Unavailable(
            "libnftables is not installed", path=_LIBRARY, hint="apt install libnftables1"
        ) from None
    context = [c_void_p]
    prototypes = {
        "nft_ctx_new": (c_void_p, [c_uint]),
        "nft_ctx_free": (None, context),
        "nft_ctx_buffer_output": (c_int, context),
        "nft_ctx_buffer_error": (c_int, context),
        "nft_ctx_get_output_buffer": (c_char_p, context),
        "nft_ctx_get_error_buffer": (c_char_p, context),
        "nft_ctx_output_set_flags": (None, [c_void_p, c_uint]),
        "nft_ctx_set_dry_run": (None, [c_void_p, c_bool]),
        "nft_run_cmd_from_buffer": (c_int, [c_void_p, c_char_p]),
    }
    for name, (result, arguments) in prototypes.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


class Nftables:
    """A context of libnftables in the network namespace of the calling thread.

    Not safe for several threads at once: one thread owns it.

    Raises:
        Unavailable: the library is not installed.
        FailedPrecondition: the kernel gave no netlink socket (no CAP_NET_ADMIN matters later).
    """

    def __init__(self) -> None:
        self._library = _load()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise FailedPrecondition("libnftables gave no context", step="nftables")
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str, *, json: bool = False, handles: bool = False) -> str:
        """Run commands in one transaction: all of them, or none.

        Arguments:
            commands: nft's language, or its JSON form (libnftables-json(5)).
            json: answer in JSON.
            handles: show handles in the answer.
        Returns:
            What ``nft`` would print.
        Raises:
            FailedPrecondition: refused; the message is the library's error text.
        """
        if self._context is None:
            raise FailedPrecondition("nftables context is closed", step="nftables")
        flags = (_OUTPUT_JSON if json else 0) | (_OUTPUT_HANDLE if handles else 0)
        self._library.nft_ctx_output_set_flags(self._context, flags)
        code = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        # both buffers are emptied by the next run
        output = self._library.nft_ctx_get_output_buffer(self._context) or b""
        failure = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if code != 0:
            text = failure.decode("utf-8", "replace").strip() or "no reason given"
            raise FailedPrecondition(f"nft refused: {text}", step="nftables")
        result: str = output.decode("utf-8", "replace")
        return result

    def close(self) -> None:
        """Free the context; a second call does nothing."""
        if self._context is not None:
            self._library.nft_ctx_free(self._context)
            self._context = None
