"""Arrays and plain values from pickle files, read as data: nothing of a file is ever called or imported.

``pickletools`` splits a file into operations without running them. The operations that build lists, dictionaries,
texts, numbers and numeric numpy arrays are interpreted here; any other operation, and any other name than the three
that numpy's arrays need, is an error.
"""

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from everypose.errors import as_user_error

NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy.core.multiarray scalar": "scalar",
    "numpy._core.multiarray scalar": "scalar",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
}
KINDS = "biufSU"
"""Kinds of numpy types that are read: numbers and fixed-length texts, never objects."""
_MARK = object()
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "INT", "LONG", "FLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")
_BYTES = ("BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_PUTS = ("BINPUT", "LONG_BINPUT", "PUT")
_GETS = ("BINGET", "LONG_BINGET", "GET")
_IGNORED = ("PROTO", "FRAME")


class _Name:
    """One of ``NAMES``."""

    def __init__(self, role: str) -> None:
        self.role = role


class _Building:
    """A type or an array whose state follows."""

    def __init__(self, role: str, text: str = "") -> None:
        self.role = role
        self.text = text
        self.value: Any = None


def read_array_pickle(path: Path) -> Any:
    """Read a pickle file of lists, tuples, dictionaries, texts, numbers and numeric numpy arrays.

    Args:
        path: a pickle of any protocol, also of Python 2.

    Returns:
        The values; texts of Python 2 as str.

    Raises:
        EveryposeError: if the file cannot be read, or holds anything else.

    >>> import pickle
    >>> _ = Path("poses.pkl").write_bytes(pickle.dumps({"poses": np.arange(3.0), "name": "a walk"}))
    >>> read_array_pickle(Path("poses.pkl"))
    {'poses': array([0., 1., 2.]), 'name': 'a walk'}
    """
    with as_user_error(f"cannot read {path} as a pickle of arrays"):
        return _Reader().read(path.read_bytes())


class _Reader:
    """The state while one file is read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self, content: bytes) -> Any:
        """Interpret the operations of a file."""
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                return _finished(self.stack.pop())
            self._apply(operation.name, argument)
        raise ValueError("it ends too early")

    def _apply(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _IGNORED:
            return
        if name in _VALUES:
            stack.append(_VALUES[name])
        elif name in _NUMBERS or name in _TEXTS:
            stack.append(argument)
        elif name in _BYTES:
            # pickletools decodes the texts of Python 2 as Latin-1, which keeps every byte.
            stack.append(argument if isinstance(argument, bytes) else argument.encode("latin-1"))
        elif name in _PUTS:
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in _GETS:
            stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module_and_name = argument if name == "GLOBAL" else " ".join(reversed([stack.pop(), stack.pop()]))
            stack.append(_allowed(module_and_name))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        else:
            self._apply_container(name)

    def _apply_container(self, name: str) -> None:
        stack = self.stack
        if name == "MARK":
            stack.append(_MARK)
        elif name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"):
            stack.append({"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}[name]())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name == "LIST":
            stack.append(self._since_mark())
        elif name == "DICT":
            values = self._since_mark()
            stack.append(dict(zip(map(_key, values[0::2]), values[1::2], strict=True)))
        elif name in ("APPEND", "APPENDS"):
            values = [stack.pop()] if name == "APPEND" else self._since_mark()
            _require(stack[-1], list).extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._since_mark()
            _require(stack[-1], dict).update(zip(map(_key, values[0::2]), values[1::2], strict=True))
        else:
            raise ValueError(f"it has the operation {name}, which arrays and plain values do not need")

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values


def _require(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError("its operations do not fit together")
    return value


def _key(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _allowed(module_and_name: str) -> _Name:
    if module_and_name not in NAMES:
        raise ValueError(f"it names {module_and_name.replace(' ', '.')!r}, which is not read")
    return _Name(NAMES[module_and_name])


def _call(function: Any, arguments: Any) -> Any:
    """What a reduction of one of the known names stands for."""
    role = _require(function, _Name).role
    if role == "dtype":
        return _Building("dtype", str(_key(arguments[0])))
    if role == "array":
        return _Building("array")
    if role == "encode":
        return str(arguments[0]).encode("latin-1")
    if role == "scalar":
        kind, content = arguments
        return np.frombuffer(content, _dtype(kind), count=1)[0].item()
    raise ValueError("its operations do not fit together")


def _build(target: Any, state: Any) -> None:
    """Give a type its byte order, or an array its content."""
    building = _require(target, _Building)
    if building.role == "dtype":
        order = str(_key(state[1]))
        kind = np.dtype(building.text)
        building.value = kind.newbyteorder(order) if order in "<>" else kind
        return
    _, shape, kind, fortran, content = state
    values = np.frombuffer(_require(content, bytes), _dtype(kind))
    building.value = values.reshape(tuple(int(side) for side in shape), order="F" if fortran else "C")


def _dtype(kind: Any) -> Any:
    found = _require(kind, _Building).value
    if found is None or found.kind not in KINDS or found.hasobject:
        raise ValueError("it has an array of something other than numbers and texts")
    return found


def _finished(value: Any, done: dict[int, Any] | None = None) -> Any:
    """The value with arrays in place of their states, and byte texts as str.

    Args:
        value: of the stack.
        done: id of a container to its result, so that one that is referred to often is not copied each time.
    """
    if isinstance(value, _Building):
        return value.value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, dict | list | tuple):
        return value
    done = {} if done is None else done
    if id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {key: _finished(each, done) for key, each in value.items()}
        else:
            done[id(value)] = [_finished(each, done) for each in value]
    return done[id(value)]
