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
from corten.oci.seccomp.optimizer import lay_out, optimize
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
_FIRST_ABSENT = -10000  # where the pseudo numbers of calls begin that an architecture lacks
_WORTHWHILE = 32  # plain calls, from which on the library is slower than we are
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
    profile = _Profile(seccomp)
    plain, answers = _plain_calls(profile)
    program = None
    if len(plain) >= _WORTHWHILE:
        others = [rule for rule in profile.rules if rule.name not in plain]
        program = lay_out(profile.compiled(others), answers)
    # the library has an instruction or two for each call: where ours may be longer, both are made
    if program is None or len(program) // 8 > sum(map(len, answers.values())):
        program = optimize(profile.compiled(profile.rules))
    if len(program) // 8 > _MOST_INSTRUCTIONS:
        raise InvalidArgument(
            f"seccomp profile needs {len(program) // 8} instructions, "
            f"the kernel takes {_MOST_INSTRUCTIONS}",
            step="seccomp",
        )
    return program


def library_program(seccomp: dict[str, Any]) -> bytes:
    """libseccomp's own program, with the stub: what :func:`compile_filter` has to answer like."""
    profile = _Profile(seccomp)
    return profile.compiled(profile.rules)


class _Profile:
    """A ``linux.seccomp`` that was read.

    Attributes:
        default: the action of what has no rule.
        names: architectures as the document lists them.
        tokens: those and the native one, as the library names them.
        audited: the architecture of a token as the kernel tells it: x32 is x86_64 with other
            numbers.
        rules: all that change something.
    """

    def __init__(self, seccomp: dict[str, Any]) -> None:
        self.default = _action(seccomp.get("defaultAction"), seccomp.get("defaultErrnoRet"))
        self.names = [_architecture_name(item) for item in seccomp.get("architectures") or ()]
        self.tokens = list(dict.fromkeys([native_architecture(), *map(architecture, self.names)]))
        self.audited = {
            token: architecture("x86_64") if token == architecture(_X32) else token
            for token in self.tokens
        }
        self.rules = _rules(seccomp, self.default)
        self._flags = seccomp.get("flags") or ()
        self._numbers: dict[str, dict[int, int]] = {}
        refuses = seccomp["defaultAction"] not in _SILENT
        self._stubbed = refuses and self.default != ACTIONS["SCMP_ACT_ERRNO"] | ENOSYS

    def numbers(self, name: str) -> dict[int, int]:
        """A call's number by token; see :func:`syscall_number`."""
        found = self._numbers.get(name)
        if found is None:
            found = {token: syscall_number(name, token) for token in self.tokens}
            self._numbers[name] = found
        return found

    def compiled(self, rules: list[_Rule]) -> bytes:
        """The library's program for some of the rules, behind the stub for all of them."""
        with Filter(self.default) as under_way:
            _set_attributes(under_way, self._flags)
            for token in self.tokens[1:]:
                _add_architecture(under_way, token)
            for rule in rules:
                if rule.number != UNKNOWN:
                    _add_rule(under_way, rule)
            program = under_way.program()
        return _stub(self) + program if self._stubbed else program


def _plain_calls(profile: _Profile) -> tuple[set[str], dict[int, dict[int, int]]]:
    """Calls with one answer whatever their arguments are, and those answers by architecture and
    number. The library takes most of its time for them, and needs not know of them.

    Left to it is whatever is not simply a number: what i386 and others multiplex (pseudo numbers
    above -10000), calls with conditions or several rules, and numbers that two names share.
    """
    if any([name not in _SAME_NUMBERS and name != _X32 for name in profile.names]):
        return set(), {}
    by_name: dict[str, list[_Rule]] = {}
    for rule in profile.rules:
        by_name.setdefault(rule.name, []).append(rule)
    shared: dict[tuple[int, int], list[str]] = {}
    plain: set[str] = set()
    for name, rules in by_name.items():
        if len({rule.action for rule in rules}) > 1:
            return set(), {}  # what libseccomp then does depends on the calls beside
        numbers = profile.numbers(name)
        for token, number in numbers.items():
            shared.setdefault((profile.audited[token], number), []).append(name)
        multiplexed = any([_FIRST_ABSENT < number < UNKNOWN for number in numbers.values()])
        if len(rules) == 1 and not rules[0].conditions and not multiplexed:
            plain.add(name)
    plain -= {
        name for (_, n), names in shared.items() if n >= 0 and len(names) > 1 for name in names
    }
    answers: dict[int, dict[int, int]] = {}
    for name in plain:
        for token, number in profile.numbers(name).items():
            if number >= 0:
                answers.setdefault(profile.audited[token], {})[number] = by_name[name][0].action
    return plain, answers


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


def _stub(profile: _Profile) -> bytes:
    """The instructions in front of the library's program; see the module's text."""
    if any([name not in _SAME_NUMBERS and name != _X32 for name in profile.names]):
        return b""  # MIPS and others count from elsewhere
    newer = {
        _NEW_CALLS[rule.name]: rule.action
        for rule in profile.rules
        if rule.number == UNKNOWN and rule.name in _NEW_CALLS and not rule.conditions
    }
    numbers = [n for rule in profile.rules for n in profile.numbers(rule.name).values()]
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
    plain = sorted([t for t in profile.tokens if t not in (0, architecture(_X32))])
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
