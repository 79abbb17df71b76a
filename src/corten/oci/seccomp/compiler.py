"""Runtime-spec ``linux.seccomp`` (config-linux.md, "Seccomp") to BPF, by libseccomp.

In front of libseccomp's program stands a stub of ours, for calls that are newer than the
library (Debian's ends at Linux 5.17) or newer than the profile:

- a call that the profile names and the library does not know gets the profile's action;
- a number above every call that the profile names answers ENOSYS, so that C libraries fall
  back to older calls, which they don't at EPERM.
"""

from __future__ import annotations

from _struct import pack
from errno import EEXIST, EINVAL, ENOSYS, EPERM

from corten.errors import InvalidArgument
from corten.kernel.libseccomp import (
    ACTIONS,
    ATTRIBUTE_LOG,
    ATTRIBUTE_OPTIMIZE,
    OPERATORS,
    UNKNOWN,
    Filter,
    architecture,
    native_architecture,
    syscall_number,
)
from corten.oci.seccomp.optimizer import optimize
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WITH_DATA = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_DATA_MASK = 0xFFFF
_BINARY_TREE = 2
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS

# Calls that all architectures number alike (since Linux 5.1), as far as a library may lack them.
_NEW_CALLS = {
    "set_mempolicy_home_node": 450,
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_getattr": 468,
    "file_setattr": 469,
}
_SAME_NUMBERS = (
    "x86_64",
    "x86",
    "arm",
    "aarch64",
    "riscv64",
    "loongarch64",
    "ppc",
    "ppc64",
    "ppc64le",
    "s390",
    "s390x",
)
_X32 = "x32"
_X32_BIT = 0x40000000
_SILENT = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")

# <linux/bpf_common.h>, <linux/filter.h>
_LD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQ, _JUMP_GT, _JUMP_GE = 0x15, 0x25, 0x35
_JUMP = 0x05
_RETURN = 0x06
_AT_NUMBER, _AT_ARCH = 0, 4  # struct seccomp_data


class _Rule(Struct):
    """One call's rule. ``number`` is the native one, or UNKNOWN for a name the library lacks."""

    name: str
    number: int
    action: int
    conditions: tuple[tuple[int, int, int, int], ...]


def compile_filter(seccomp: dict[str, Any]) -> bytes:
    """The BPF program of a ``linux.seccomp``.

    Raises:
        InvalidArgument: an action, operator or architecture that does not exist, or a profile
            that is too large for the kernel.
        Unavailable: libseccomp is not installed.
    """
    default = _action(seccomp.get("defaultAction"), seccomp.get("defaultErrnoRet"))
    names = [_architecture_name(item) for item in seccomp.get("architectures") or ()]
    rules = _rules(seccomp, default)
    with Filter(default) as under_way:
        _set_attributes(under_way, seccomp.get("flags") or ())
        tokens = {native_architecture()}
        for name in names:
            token = architecture(name)
            if token not in tokens:
                tokens.add(token)
                _add_architecture(under_way, token)
        for rule in rules:
            if rule.number != UNKNOWN:
                _add_rule(under_way, rule)
        program = under_way.program()
    if seccomp["defaultAction"] not in _SILENT and default != ACTIONS["SCMP_ACT_ERRNO"] | ENOSYS:
        program = _stub(rules, names, tokens) + program
    program = optimize(program)
    if len(program) // 8 > _MOST_INSTRUCTIONS:
        raise InvalidArgument(
            f"seccomp profile needs {len(program) // 8} instructions, "
            f"the kernel takes {_MOST_INSTRUCTIONS}",
            step="seccomp",
        )
    return program


def _action(name: Any, errno: Any) -> int:
    if name not in ACTIONS:
        raise InvalidArgument(f"seccomp action {name!r} does not exist", step="seccomp")
    if name not in _WITH_DATA:
        return ACTIONS[name]
    data = EPERM if errno is None else errno
    if not isinstance(data, int) or not 0 <= data <= _DATA_MASK:
        raise InvalidArgument(f"seccomp errno {errno!r} is not in 0 to 65535", step="seccomp")
    return ACTIONS[name] | data


def _architecture_name(item: Any) -> str:
    name = str(item).removeprefix("SCMP_ARCH_").lower()
    if not architecture(name):
        raise InvalidArgument(f"seccomp architecture {item!r} does not exist", step="seccomp")
    return name


def _set_attributes(under_way: Filter, flags: list[str] | tuple[str, ...]) -> None:
    try:
        under_way.set_attribute(ATTRIBUTE_OPTIMIZE, _BINARY_TREE)
    except OSError as error:
        if error.errno != EINVAL:  # libseccomp before 2.5: a linear filter, slower and right
            raise
    if "SECCOMP_FILTER_FLAG_LOG" in flags:
        under_way.set_attribute(ATTRIBUTE_LOG, 1)


def _add_architecture(under_way: Filter, token: int) -> None:
    try:
        under_way.add_architecture(token)
    except OSError as error:
        if error.errno != EEXIST:
            raise InvalidArgument(str(error), step="seccomp") from None


def _rules(seccomp: dict[str, Any], default: int) -> list[_Rule]:
    rules = []
    native = native_architecture()
    for entry in seccomp.get("syscalls") or ():
        action = _action(entry.get("action"), entry.get("errnoRet"))
        if action == default:
            continue  # libseccomp refuses rules that change nothing
        alternatives = _conditions(entry.get("args") or [])
        for name in entry.get("names") or ():
            number = syscall_number(name, native)
            for conditions in alternatives:
                rules.append(_Rule(name=name, number=number, action=action, conditions=conditions))
    return rules


def _conditions(args: list[dict[str, Any]]) -> list[tuple[tuple[int, int, int, int], ...]]:
    """Alternatives, each a conjunction.

    libseccomp takes one condition per argument in a rule. Profiles that have several on one
    argument mean alternatives: so does runc read them.
    """
    conditions = []
    for arg in args:
        op, index = arg.get("op"), arg.get("index")
        if op not in OPERATORS:
            raise InvalidArgument(f"seccomp operator {op!r} does not exist", step="seccomp")
        if not isinstance(index, int) or not 0 <= index <= 5:
            raise InvalidArgument(f"seccomp argument {index!r} is not in 0 to 5", step="seccomp")
        value, second = arg.get("value") or 0, arg.get("valueTwo") or 0
        conditions.append((index, OPERATORS[op], value, second))
    indexes = [condition[0] for condition in conditions]
    if len(set(indexes)) < len(indexes):
        return [(condition,) for condition in conditions]
    return [tuple(conditions)]


def _add_rule(under_way: Filter, rule: _Rule) -> None:
    try:
        under_way.add_rule(rule.action, rule.number, list(rule.conditions))
    except OSError as error:
        if error.errno != EEXIST:
            raise InvalidArgument(
                f"seccomp rule for {rule.name}: {error}", step="seccomp"
            ) from None


def _stub(rules: list[_Rule], names: list[str], tokens: set[int]) -> bytes:
    """The instructions in front of the library's program; see the module's text."""
    if any([name not in _SAME_NUMBERS and name != _X32 for name in names]):
        return b""  # MIPS and others count from elsewhere
    newer = {
        _NEW_CALLS[rule.name]: rule.action
        for rule in rules
        if rule.number == UNKNOWN and rule.name in _NEW_CALLS and not rule.conditions
    }
    numbers = [syscall_number(rule.name, token) for token in tokens for rule in rules]
    highest = max([number for number in [*numbers, *newer] if number < _X32_BIT], default=-1)
    if highest < 0:
        return b""
    first = min([*newer, highest + 1])
    named = []
    for number, action in sorted(newer.items()):
        named += [_op(_JUMP_EQ, number, 0, 1), _op(_RETURN, action)]
    # behind the check of the architecture, which must not let a foreign one through
    tail = [
        _op(_LD_WORD, _AT_NUMBER),
        *named,
        _op(_JUMP_GT, highest, 0, 1),
        _op(_RETURN, ACTIONS["SCMP_ACT_ERRNO"] | ENOSYS),
    ]
    plain = sorted([token for token in tokens if token not in (0, architecture(_X32))])
    check = [_op(_LD_WORD, _AT_ARCH)]
    for position, token in enumerate(plain):
        check.append(_op(_JUMP_EQ, token, len(plain) - position, 0))
    check.append(_op(_JUMP, len(tail)))
    head = [
        _op(_LD_WORD, _AT_NUMBER),
        _op(_JUMP_GE, _X32_BIT, 1, 0),
        _op(_JUMP_GE, first, 1, 0),
        _op(_JUMP, len(check) + len(tail)),
    ]
    return b"".join([*head, *check, *tail])


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return pack("HBBI", code, if_true, if_false, value)
