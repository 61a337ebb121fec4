"""The stack machine of pickle: its program, stack, marks and memo, each within limits.

What the opcodes do is in `pickle_data`. Only the machine's own containers are touched, and they end with it.
"""

import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

from musclemap.errors import FileError
from musclemap.reason_codes import ReasonCode

MAX_OPCODES = 2**20
"""Most steps of the program; a body model takes some hundreds. As many take about 3 s and 250 MB."""

_SPARE_BYTES = 2**26


class ClassName:
    """The name of a class or function that a pickle refers to; it is not imported."""

    __slots__ = ("qualname",)

    def __init__(self, qualname: str) -> None:
        self.qualname = qualname


class Record:
    """What a pickle says of an object: the name of its class, the arguments it was made with, and its state."""

    __slots__ = ("args", "qualname", "state")

    def __init__(self, qualname: str, args: tuple[Any, ...]) -> None:
        self.qualname = qualname
        self.args = args
        self.state: Any = None


class Machine:
    """The stack machine of pickle. Marks lie on the stack itself."""

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self.source = data
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.spare = 2 * len(data) + _SPARE_BYTES

    def run(self, steps: Mapping[int, Callable[["Machine"], None]]) -> Any:
        """Do one step after the other until the program stops.

        Args:
            steps: What each opcode does.

        Returns:
            The top value.
        """
        data, stop = self.source, ord(".")
        for _ in range(MAX_OPCODES):
            opcode = data[self.at]
            self.at += 1
            if opcode == stop:
                return self.pop()
            step = steps.get(opcode)
            if step is None:
                raise FileError(f"it has the opcode {opcode:#04x} at {self.at - 1}, which is not read",
                                code=ReasonCode.PICKLED)  # fmt: skip
            step(self)
        raise FileError(f"it has more than {MAX_OPCODES} opcodes", code=ReasonCode.TOO_LARGE)

    # Bytes of the program

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        if not 0 <= size <= len(self.data) - self.at:
            raise EOFError(f"{size} bytes are declared at {self.at} of {len(self.data)}")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> Any:
        """The next bytes as one number, little-endian."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self, longest: int) -> bytes:
        """The rest of a line."""
        end = self.source.find(b"\n", self.at, self.at + longest + 1)
        if end < 0:
            raise EOFError(f"the line at {self.at} does not end")
        first, self.at = self.at, end + 1
        return self.source[first:end]

    def charge(self, value: Any) -> Any:
        """Count the memory of text or bytes that do not lie in the file."""
        self.spare -= sys.getsizeof(value)
        if self.spare < 0:
            raise FileError("its text takes more memory than the file", code=ReasonCode.TOO_LARGE)
        return value

    # The stack

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the top value off."""
        if self.marks and self.marks[-1] == len(self.stack):
            raise IndexError("a mark where a value was expected")
        return self.stack.pop()

    def pop_tuple(self, size: int) -> tuple[Any, ...]:
        """Take the top values off as a tuple."""
        first = len(self.stack) - size
        if first < (self.marks[-1] if self.marks else 0):
            raise IndexError("fewer values than were expected")
        values = tuple(self.stack[first:])
        del self.stack[first:]
        return values

    def top(self) -> Any:
        """The top value."""
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        """Take all values off that lie above the last mark."""
        first = self.marks.pop()
        values = self.stack[first:]
        del self.stack[first:]
        return values
