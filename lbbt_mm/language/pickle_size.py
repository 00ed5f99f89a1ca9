"""How much a pickle makes, counted from its opcodes before anything is made of it.

Parts of a pickle may be shared: 60 tuples, each of the one before twice, are 2^60 parts for whoever hashes or prints them.
And Python knows no limit when it hashes a tuple in a tuple in a tuple: a few hundred thousand end the process.
"""
import pickletools
from typing import Any, BinaryIO, Dict, List

#: Parts that a pickle may have beyond so many times its bytes, and how deep they may lie in each other.
_PARTS, _PARTS_A_BYTE, _DEEPEST = 2**21, 16, 200
#: Opcodes that change an object, and those that call a function or a class.
_FILL = ('APPEND', 'APPENDS', 'SETITEM', 'SETITEMS', 'ADDITEMS', 'BUILD')
_CALL = ('REDUCE', 'NEWOBJ', 'NEWOBJ_EX', 'INST', 'OBJ')


class PickleTooLarge(ValueError):
    """A pickle would make far more than it has bytes; the message is a phrase that says what."""


class _Part:
    """An object that a pickle makes.

    Attributes:
        size: Objects in it, each as often as it is reached; long text counts by its length.
        depth: Levels of them.
        number: The largest whole number in it; a call may make so many objects.
        name: Itself, of text and of what is looked up.
        is_held: Whether another one holds it already.
    """
    __slots__ = ('size', 'depth', 'number', 'name', 'is_held')

    def __init__(self, argument: Any) -> None:
        self.size = 1 + (len(argument) // 64 if isinstance(argument, (str, bytes, bytearray)) else 0)
        self.depth, self.is_held = 1, False
        self.number = argument if isinstance(argument, int) else 0
        self.name = argument if isinstance(argument, str) else ''

    def hold(self, parts: List['_Part']) -> None:
        """Put parts into this one."""
        if parts and self.is_held:  # whoever holds it has counted it as it was; pickle writes this for circles only
            raise PickleTooLarge('a part of it that another part holds is filled afterwards')
        for part in parts:
            part.is_held = True
            self.size += part.size
            self.depth = max(self.depth, part.depth + 1)
        if self.depth > _DEEPEST:
            raise PickleTooLarge(f'its parts are nested more than {_DEEPEST} deep')


def check_pickle(file: BinaryIO) -> None:
    """Refuse a pickle that would make far more than it has bytes.

    Args:
        file: Opened at the first byte of a pickle, and read to its end.

    Raises:
        PickleTooLarge: If it would.
        ValueError: If it is no pickle.
    """
    stack: List[_Part] = []
    marks: List[int] = []
    memo: Dict[int, _Part] = {}
    made = 0
    try:
        for opcode, argument, place in pickletools.genops(file):
            name = opcode.name
            if name == 'MARK':
                marks.append(len(stack))
            elif 'PUT' in name or name == 'MEMOIZE':
                memo[len(memo) if argument is None else argument] = stack[-1]
            elif 'GET' in name or name == 'DUP':
                stack.append(stack[-1] if argument is None else memo[argument])
            else:
                parts = _take(opcode.stack_before, stack, marks)
                if opcode.stack_after:
                    more = sum(part.size for part in parts[1:])
                    stack.append(_make(name, argument, parts))
                    made += more if name in _FILL else stack[-1].size
            if made > _PARTS + _PARTS_A_BYTE * place:
                raise PickleTooLarge(f'its first {place:,} bytes make {made:,} parts')
    except LookupError:
        raise ValueError('it asks for a part that it does not have') from None


def _take(before: List[Any], stack: List[_Part], marks: List[int]) -> List[_Part]:
    """What an opcode takes from the stack."""
    is_marked = pickletools.markobject in before
    start = marks.pop() - before.index(pickletools.markobject) if is_marked else len(stack) - len(before)
    if start < (marks[-1] if marks else 0):
        raise IndexError
    parts = stack[start:]
    del stack[start:]
    return parts


def _make(name: str, argument: Any, parts: List[_Part]) -> _Part:
    """What an opcode puts on the stack instead."""
    if name in _FILL:
        parts[0].hold(parts[1:])
        return parts[0]
    made = _Part(argument)
    made.hold(parts)
    if name == 'STACK_GLOBAL':
        made.name = parts[1].name
    if name.startswith('TUPLE') or 'PERSID' in name or name in _CALL:
        made.number = max((part.number for part in parts), default=0)
    if name in _CALL and '_rebuild' not in (parts[0].name if parts else ''):  # the numbers of a tensor are in the file
        made.size += made.number
    return made
