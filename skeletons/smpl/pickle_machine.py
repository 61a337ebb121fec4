"""The stack machine of pickle: its program, stack, marks and memo, each within limits.

`pickle_data` defines the opcodes. They touch only the machine's own containers.
"""

import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

from musclemap.errors import FileError
from musclemap.reason_codes import ReasonCode

MAX_OPCODES = 2**20
"""Maximum number of steps of the program; a body model takes some hundreds. This many take about 3 s and 250 MB."""

_SPARE_BYTES = 2**26


class ClassName:
    """Name of a class or function in a pickle; it is not imported."""

    __slots__ = ("qualname",)

    def __init__(self, qualname: str) -> None:
        self.qualname = qualname


class Record:
    """Description of an object in a pickle: the name of its class, its constructor arguments, and its state."""

    __slots__ = ("args", "qualname", "state")

    def __init__(self, qualname: str, args: tuple[Any, ...]) -> None:
        self.qualname = qualname
        self.args = args
        self.state: Any = None


class Machine:
    """The stack machine of pickle. Marks are positions in the stack."""

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self.source = data
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.memory_left = 2 * len(data) + _SPARE_BYTES

    def run(self, steps: Mapping[int, Callable[["Machine"], None]]) -> Any:
        """Run the program until it stops.

        Args:
            steps: Function of each opcode.

        Returns:
            Top value of the stack.
        """
        data, stop = self.source, ord(".")
        for _ in range(MAX_OPCODES):
            opcode = data[self.position]
            self.position += 1
            if opcode == stop:
                return self.pop()
            step = steps.get(opcode)
            if step is None:
                raise FileError(f"it has the opcode {opcode:#04x} at {self.position - 1}, which is not supported",
                                code=ReasonCode.PICKLED)  # fmt: skip
            step(self)
        raise FileError(f"it has more than {MAX_OPCODES} opcodes", code=ReasonCode.TOO_LARGE)

    # Reading the program

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        if not 0 <= size <= len(self.data) - self.position:
            raise EOFError(f"{size} bytes are declared at {self.position} of {len(self.data)}")
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, form: str) -> Any:
        """The next bytes as one number, little-endian."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self, max_bytes: int) -> bytes:
        """The rest of a line."""
        end = self.source.find(b"\n", self.position, self.position + max_bytes + 1)
        if end < 0:
            raise EOFError(f"the line at {self.position} does not end")
        first, self.position = self.position, end + 1
        return self.source[first:end]

    def charge(self, value: Any) -> Any:
        """Count the memory of text or bytes that are not part of the file."""
        self.memory_left -= sys.getsizeof(value)
        if self.memory_left < 0:
            raise FileError("its text takes more memory than the file", code=ReasonCode.TOO_LARGE)
        return value

    # The stack

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Remove and return the top value."""
        if self.marks and self.marks[-1] == len(self.stack):
            raise IndexError("a mark instead of a value")
        return self.stack.pop()

    def pop_tuple(self, size: int) -> tuple[Any, ...]:
        """Remove the top values and return them as a tuple."""
        first = len(self.stack) - size
        if first < (self.marks[-1] if self.marks else 0):
            raise IndexError("fewer values than expected")
        values = tuple(self.stack[first:])
        del self.stack[first:]
        return values

    def top(self) -> Any:
        """The top value."""
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        """Remove and return all values above the last mark."""
        first = self.marks.pop()
        values = self.stack[first:]
        del self.stack[first:]
        return values
