"""bpf(2): as far as device rules of cgroup v2 need it."""

from __future__ import annotations

from _struct import pack, unpack_from

from corten.kernel._call import buffer, call, pointer

_BPF_PROG_LOAD = 5
_BPF_PROG_ATTACH = 8
_BPF_PROG_DETACH = 9
_BPF_PROG_GET_FD_BY_ID = 13
_BPF_PROG_QUERY = 16
_BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
BPF_F_REPLACE = 4
_LOG_SIZE = 16384
_MAX_PROGRAMS = 64


def load_device_program(instructions: bytes, name: str = "corten_devices") -> int:
    """Load a BPF_PROG_TYPE_CGROUP_DEVICE program; returns its descriptor (close-on-exec).

    Raises:
        OSError: with the verifier's last words where it refuses the program.
    """
    code = buffer(len(instructions), instructions)
    log = buffer(_LOG_SIZE)
    licence = buffer(4, b"GPL")
    attr = pack(
        "IIQQIIQII16s",
        _BPF_PROG_TYPE_CGROUP_DEVICE,
        len(instructions) // 8,
        pointer(code),
        pointer(licence),
        1,
        len(log),
        pointer(log),
        0,
        0,
        name.encode()[:15],
    )
    try:
        return call("bpf", None, _BPF_PROG_LOAD, attr, len(attr))
    except OSError as error:
        words = bytes(log.value).decode("ascii", "replace").strip()[-200:]
        if words:
            raise OSError(error.errno, f"{error.strerror}: {words}") from None
        raise


def attach_device_program(cgroup_fd: int, program_fd: int, replace_fd: int = -1) -> None:
    """Attach a device program to a cgroup beside others, or in the place of ``replace_fd``."""
    flags = BPF_F_ALLOW_MULTI
    if replace_fd >= 0:
        flags |= BPF_F_REPLACE
    attr = pack("IIIII", cgroup_fd, program_fd, _BPF_CGROUP_DEVICE, flags, max(replace_fd, 0))
    call("bpf", None, _BPF_PROG_ATTACH, attr, len(attr))


def detach_device_program(cgroup_fd: int, program_fd: int) -> None:
    """Detach one device program from a cgroup."""
    attr = pack("IIIII", cgroup_fd, program_fd, _BPF_CGROUP_DEVICE, 0, 0)
    call("bpf", None, _BPF_PROG_DETACH, attr, len(attr))


def attached_device_programs(cgroup_fd: int) -> list[int]:
    """Ids of the device programs attached to this very cgroup."""
    ids = buffer(4 * _MAX_PROGRAMS)
    # target_fd attach_type query_flags attach_flags prog_ids prog_cnt
    attr = buffer(
        32, pack("IIIIQI", cgroup_fd, _BPF_CGROUP_DEVICE, 0, 0, pointer(ids), _MAX_PROGRAMS)
    )
    call("bpf", None, _BPF_PROG_QUERY, attr, len(attr))
    count: int = unpack_from("I", attr, 24)[0]
    return [unpack_from("I", ids, 4 * i)[0] for i in range(count)]


def program_by_id(program_id: int) -> int:
    """A descriptor of a loaded program."""
    attr = pack("III", program_id, 0, 0)
    return call("bpf", None, _BPF_PROG_GET_FD_BY_ID, attr, len(attr))
