"""The same filter in fewer instructions: libseccomp's program, evaluated and laid out anew.

A container pays for each instruction when the kernel compiles its filter (0.7 µs each), and
libseccomp writes one or two for every call it knows. Calls that lie side by side mostly get
the same answer. So for every architecture the program is followed for all numbers at once,
parted by its tests of the number, up to an answer or to the tests of arguments that are left;
ranges with equal results are joined, and a binary search over them is written.

Nothing here knows what a call is or what a profile means: the result is equivalent because
every path of the input was followed. What it can't follow it returns unchanged.
"""

from __future__ import annotations

from _struct import iter_unpack, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    Instruction = tuple[int, int, int, int]
    # The first number of each range and the result there.
    Ranges = list[tuple[int, int]]

# <linux/bpf_common.h>
_LD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05
_EQ, _GT, _GE, _SET = 0x15, 0x25, 0x35, 0x45
_RETURN = 0x06
_AT_NUMBER, _AT_ARCH = 0, 4  # struct seccomp_data
_WORDS = 1 << 32
_NO_MASK = _WORDS - 1
_FARTHEST = 255  # a conditional jump's 8 bits
_MOST = 8192


class _Unknown(Exception):
    """The program does something that libseccomp does not."""


def optimize(program: bytes) -> bytes:
    """An equivalent program that is not longer; the same one where it can't be made."""
    shorter = lay_out(program, {})
    return program if shorter is None or len(shorter) >= len(program) else shorter


def lay_out(program: bytes, answers: dict[int, dict[int, int]]) -> bytes | None:
    """A program that answers as this one, but for some numbers; None where it can't be made.

    Arguments:
        answers: by architecture, which the program asks for, by number.
    """
    code: list[Instruction] = [item for item in iter_unpack("HBBI", program)]
    try:
        paths = _Paths(code)
        return _write(paths, _tables(code, paths, answers))
    except (_Unknown, RecursionError):
        return None


def _tables(
    code: list[Instruction], paths: _Paths, answers: dict[int, dict[int, int]]
) -> dict[int | None, Ranges]:
    """The results by architecture; None stands for all that the program does not name."""
    named = _named(code)
    if not named.issuperset(answers):
        raise _Unknown
    tables: dict[int | None, Ranges] = {}
    for arch in named:
        tables[arch] = _overlaid(paths.ranges(arch), paths, answers.get(arch, {}))
    others: list[Ranges] = []
    # what is not named is alike between two names, so one value of each gap is asked
    for arch in {0, *[name + 1 for name in named if name + 1 < _WORDS]} - named:
        ranges = paths.ranges(arch)
        if ranges not in others:
            others.append(ranges)
    if len(others) != 1:
        raise _Unknown
    tables[None] = others[0]
    return tables


def _overlaid(ranges: Ranges, paths: _Paths, answers: dict[int, int]) -> Ranges:
    """The ranges with other answers at some numbers."""
    if not answers:
        return ranges
    own = {number: paths.answer(value) for number, value in answers.items()}
    # a number's end is where what was there before goes on
    starts = {first for first, _ in ranges} | set(own) | {number + 1 for number in own}
    result: Ranges = []
    below, position = ranges[0][1], 0
    for start in sorted(starts):
        while position < len(ranges) and ranges[position][0] <= start:
            below = ranges[position][1]
            position += 1
        node = own.get(start, below)
        if not result or result[-1][1] != node:
            result.append((start, node))
    return result


def _named(code: list[Instruction]) -> set[int]:
    """The architectures that are asked for."""
    named: set[int] = set()
    seen: set[tuple[int, int]] = set()
    waiting = [(0, -1)]  # (instruction, what the accumulator was loaded from; -1: anything else)
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        at, held = state
        op, yes, no, value = _fetch(code, at)
        if op == _LD_WORD:
            waiting.append((at + 1, value))
        elif op == _AND:
            waiting.append((at + 1, -1))
        elif op == _JUMP:
            waiting.append((at + 1 + value, held))
        elif op in (_EQ, _GT, _GE, _SET):
            waiting += [(at + 1 + yes, held), (at + 1 + no, held)]
            if held == _AT_ARCH:
                if op != _EQ:
                    raise _Unknown
                named.add(value)
        elif op != _RETURN:
            raise _Unknown
    return named


def _fetch(code: list[Instruction], at: int) -> Instruction:
    if at >= len(code):
        raise _Unknown
    return code[at]


class _Paths:
    """Follows a program where some words are known.

    A result is a number that stands for an answer, ``(value,)``, or for a test of a word that is
    not known: ``(offset in seccomp_data, mask, jump code, constant, result of yes, of no)``.
    Equal results have equal numbers.
    """

    def __init__(self, code: list[Instruction]) -> None:
        self.nodes: list[tuple[int, ...]] = []
        self._code = code
        self._numbers: dict[tuple[int, ...], int] = {}

    def ranges(self, arch: int) -> Ranges:
        """The results for all numbers of an architecture.

        All numbers that go the same way are followed at once: a test of the number parts them.
        """
        found: Ranges = []
        # (instruction, what the accumulator was loaded from, first and last number): lowest last
        waiting = [(0, -1, 0, _WORDS - 1)]
        while waiting:
            at, held, first, last = waiting.pop()
            op, yes, no, constant = _fetch(self._code, at)
            if op == _JUMP:
                waiting.append((at + 1 + constant, held, first, last))
            elif op == _LD_WORD and constant in (_AT_ARCH, _AT_NUMBER):
                waiting.append((at + 1, constant, first, last))
            elif op in (_RETURN, _LD_WORD):
                node = self._answer(arch, at, first, last)
                if not found or found[-1][1] != node:
                    found.append((first, node))
            elif held == _AT_ARCH and op == _EQ:
                waiting.append((at + 1 + (yes if arch == constant else no), held, first, last))
            elif held == _AT_NUMBER:
                for low, high, jump in reversed(_parted(op, constant, yes, no)):
                    if max(low, first) <= min(high, last):
                        waiting.append((at + 1 + jump, held, max(low, first), min(high, last)))
            else:
                raise _Unknown
        return found

    def answer(self, value: int) -> int:
        """The result that stands for an answer."""
        return self._number((value,))

    def _answer(self, arch: int, at: int, first: int, last: int) -> int:
        """The result from an instruction on that needs no number, or of a single number."""
        op, _, _, constant = self._code[at]
        if op == _RETURN:
            return self.answer(constant)
        if first != last:
            raise _Unknown  # the tests of arguments may ask for the number again
        return self._step({_AT_ARCH: arch, _AT_NUMBER: first}, {}, at, None, (0, _NO_MASK))

    def _number(self, node: tuple[int, ...]) -> int:
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
            if number > _MOST:
                raise _Unknown
        return number

    def _step(
        self,
        known: dict[int, int],
        done: dict[tuple[int, tuple[int, int]], int],
        at: int,
        value: int | None,
        loaded: tuple[int, int],
    ) -> int:
        """Go on at instruction ``at``; the accumulator has ``value``, or came from ``loaded``."""
        while True:
            op, yes, no, constant = _fetch(self._code, at)
            if op == _RETURN:
                return self._number((constant,))
            if op == _LD_WORD:
                value, loaded = known.get(constant), (constant, _NO_MASK)
                at += 1
            elif op == _AND:
                value = None if value is None else value & constant
                loaded = (loaded[0], loaded[1] & constant)
                at += 1
            elif op == _JUMP:
                at += 1 + constant
            elif value is not None:
                at += 1 + (yes if _holds(op, value, constant) else no)
            else:
                break
        key = (at, loaded)
        if key not in done:
            then = self._step(known, done, at + 1 + yes, None, loaded)
            other = self._step(known, done, at + 1 + no, None, loaded)
            test = (*loaded, op, constant, then, other)
            done[key] = then if then == other else self._number(test)
        return done[key]


def _parted(op: int, constant: int, yes: int, no: int) -> list[tuple[int, int, int]]:
    """How a test parts all numbers: first, last, and where it jumps."""
    top = _WORDS - 1
    if op == _EQ:
        return [(0, constant - 1, no), (constant, constant, yes), (constant + 1, top, no)]
    if op == _GT:
        return [(0, constant, no), (constant + 1, top, yes)]
    if op == _GE:
        return [(0, constant - 1, no), (constant, top, yes)]
    raise _Unknown


def _holds(op: int, value: int, constant: int) -> bool:
    if op == _EQ:
        return value == constant
    if op == _GT:
        return value > constant
    if op == _GE:
        return value >= constant
    return value & constant != 0


class _Writer:
    """Writes from the end to the beginning, since jumps only go forward.

    A place is counted from the end, so it stays what it is while more is put in front.
    """

    def __init__(self, paths: _Paths) -> None:
        self.code: list[bytes] = []
        self._paths = paths
        # by result and by what the accumulator holds already
        self._places: dict[tuple[int, tuple[int, int] | None], int] = {}

    def put(self, op: int, value: int, yes: int = 0, no: int = 0) -> int:
        """Put an instruction in front; returns its place."""
        self.code.append(pack("HBBI", op, yes, no, value))
        if len(self.code) > _MOST:
            raise _Unknown
        return len(self.code)

    def near(self, place: int) -> int:
        """A place with the same effect that a conditional jump still reaches from the front."""
        # another bridge may come between
        if len(self.code) + 1 - place <= _FARTHEST:
            return place
        return self.put(_JUMP, len(self.code) - place)

    def test(self, op: int, value: int, yes: int, no: int) -> int:
        """A conditional jump to two places."""
        yes = self.near(yes)
        no = self.near(no)
        here = len(self.code)
        return self.put(op, value, here - yes, here - no)

    def result(self, number: int, held: tuple[int, int] | None = None) -> int:
        """The place of a result; it is written again where it went out of a jump's reach.

        Arguments:
            held: offset and mask of the word that the accumulator holds when it is reached.
        """
        node = self._paths.nodes[number]
        word = node[:2] if len(node) > 1 else ()
        if word != held:
            held = None
        place = self._places.get((number, held))
        if place is not None and len(self.code) - place < _FARTHEST - 2:
            return place
        if not word:
            place = self.put(_RETURN, node[0])
        else:
            offset, mask, op, value, then, other = node
            no = self.result(other, (offset, mask))
            yes = self.result(then, (offset, mask))
            place = self.test(op, value, yes, no)
            if held is None and mask != _NO_MASK:
                place = self.put(_AND, mask)
            if held is None:
                place = self.put(_LD_WORD, offset)
        self._places[number, held] = place
        return place

    def search(self, ranges: Ranges) -> int:
        """A binary search; the accumulator holds the number."""
        if len(ranges) == 1:
            return self.result(ranges[0][1])
        middle = len(ranges) // 2
        upper = self.search(ranges[middle:])
        lower = self.search(ranges[:middle])
        return self.test(_GE, ranges[middle][0], upper, lower)

    def load_and_go(self, offset: int, place: int) -> int:
        """Load a word and go on at ``place``."""
        if place != len(self.code):
            self.put(_JUMP, len(self.code) - place)
        return self.put(_LD_WORD, offset)


def _write(paths: _Paths, tables: dict[int | None, Ranges]) -> bytes:
    writer = _Writer(paths)
    default = tables.pop(None)
    place = writer.search(default)
    if len(default) > 1:
        place = writer.load_and_go(_AT_NUMBER, place)
    # written last is asked first: the native 64-bit architecture has the largest number
    for arch in sorted([arch for arch in tables if arch is not None]):
        table = writer.search(tables[arch])
        if len(tables[arch]) > 1:
            table = writer.load_and_go(_AT_NUMBER, table)
        place = writer.test(_EQ, arch, table, place)
    writer.load_and_go(_AT_ARCH, place)
    return b"".join(reversed(writer.code))
