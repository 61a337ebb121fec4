"""Pickles are read as data: numpy's output survives the round trip, and any program gives plain data or an error."""

import contextlib
import copyreg
import pickle
import struct
import time
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from musclemap.errors import BodyModelError, FileError
from musclemap.skeletons.smpl import array_pickle, pickle_machine
from musclemap.skeletons.smpl.array_pickle import array, dense, load_arrays
from musclemap.skeletons.smpl.body_model import load_body_model
from musclemap.skeletons.smpl.pickle_data import read_pickle
from musclemap.skeletons.smpl.pickle_machine import ClassName, Record

from ..support.hostile import pickle_programs as ops

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
GLOBAL_DTYPE = b"cnumpy\ndtype\n"


def content(value: bytes) -> dict:
    return load_arrays(ops.program(ops.mapping(a=value)), name="it")


def refused(value: bytes) -> FileError:
    with pytest.raises(FileError) as caught:
        dense(content(value)["a"], name="a")
    return caught.value


# Round trips of what numpy and Python write


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_round_trip(protocol: int) -> None:
    ordered = OrderedDict(b=1, a=[2])
    tree = {
        "a": [1, -1, 255, 2**31, -(2**62), 2**200, True, None, 1.5, float("inf")],
        3: ("é走😀", "x" * 300, b"\x00\xff", b""),
        "o": ordered, "n": {"t": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))}, None: "long" * 2000, b"k": [],
    }  # fmt: skip
    read = read_pickle(pickle.dumps(tree, protocol=protocol))
    assert read == tree | {"o": dict(ordered)}
    assert list(read["o"]) == ["b", "a"]
    assert read_pickle(pickle.dumps({(1, "a", None): 2}, protocol=protocol)) == {"(1, 'a', None)": 2}
    assert sorted(read_pickle(pickle.dumps({"s": {1, 2}, "f": frozenset({3})}, protocol=protocol))["s"]) == [1, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("code", ["f2", "f4", ">f8", "i1", "<i2", ">i4", "i8", "u1", "u2", ">u4", "u8", "b1"])
def test_array_round_trip_keeps_the_type(protocol: int, code: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((), (0, 3), (5,), (4, 3, 2), (300, 30)):
        for order in ("C", "F"):
            values = np.asarray(rng.integers(0, 2, shape).astype(code), order=order)  # type: ignore[call-overload]
            read = load_arrays(pickle.dumps({"a": values, "t": values.T}, protocol=protocol), name="it")
            for key, ref in (("a", values), ("t", values.T)):
                back = array(read[key], name=key)
                np.testing.assert_array_equal(back, ref)
                assert back.dtype == ref.dtype
                assert not back.flags.writeable
                np.testing.assert_array_equal(dense(read[key], name=key), ref.astype(np.float64))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_permuted_axes_scalars_and_text_round_trip(protocol: int) -> None:
    turned = np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2)
    items = {"k": turned, "f": np.float32(1.5), "i": np.int64(-3), "u": np.array("männlich"), "s": np.bytes_(b"male")}
    read = load_arrays(pickle.dumps(items, protocol=protocol), name="it")
    for key, value in items.items():
        np.testing.assert_array_equal(array(read[key], name=key), value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", [sparse.csc_matrix, sparse.csr_matrix, sparse.coo_matrix, sparse.csr_array])
def test_sparse_arrays_match_scipy(protocol: int, kind: type) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(7, 5)) * (rng.random((7, 5)) < 0.4)
    twice = sparse.coo_matrix(([1.0, 2.0, 4.0], ([1, 1, 0], [2, 2, 0])), shape=(7, 5))
    for matrix in (kind(values), kind((7, 5)), kind(twice)):
        read = load_arrays(pickle.dumps({"a": matrix}, protocol=protocol), name="it")
        np.testing.assert_array_equal(dense(read["a"], name="a"), matrix.toarray())


# No program reads memory, runs anything or has side effects


def forged(code: str, *, size: int, fields: bytes) -> bytes:
    """A type whose state claims fields of Python objects at an offset, which numpy would accept."""
    kind = ops.call(ops.name("numpy", "dtype"), ops.text(code), b"\x89", b"\x88")
    state = (ops.integer(3), ops.text("|"), b"N", ops.group(ops.text("a")), fields, ops.integer(size),
             ops.integer(1), ops.integer(0))  # fmt: skip
    return ops.built(kind, ops.group(*state))


def test_forged_type_cannot_read_memory() -> None:
    """The secret number is in this process's memory; the file contains only its address."""
    secret = 1234.5678
    pointer = struct.pack("<Q", id(secret))
    objects = ops.call(ops.name("numpy", "dtype"), ops.text("O8"), b"\x89", b"\x88")
    fields = ops.mapping(a=ops.group(objects, ops.integer(0)))
    for code in ("V8", "O8", "f8"):
        kind = forged(code, size=8, fields=fields)
        buffer = ops.call(ops.name("numpy.core.numeric", "_frombuffer"), ops.raw(pointer), kind,
                           ops.group(ops.integer(1)), ops.text("C"))  # fmt: skip
        scalar = ops.call(ops.name("numpy.core.multiarray", "scalar"), kind, ops.raw(pointer))
        for value in (buffer, scalar, ops.array(ops.group(ops.integer(1)), kind, ops.raw(pointer))):
            try:
                read = dense(content(value)["a"], name="a")
            except FileError:
                continue
            assert code == "f8"  # the bytes of the pointer themselves
            assert read.tobytes() == pointer
            assert secret not in read


@pytest.mark.parametrize(
    "code",
    ["O", "O8", "V8", "c8", "M8[s]", "m8", "f16", "g", "f8,f8", "(2,)f8", "S0", "U0", "i3", "f", "", "S99999999"],
)
def test_types_that_are_not_on_the_list_are_refused(code: str) -> None:
    assert "type" in str(refused(ops.array(ops.group(ops.integer(1)), ops.dtype(code), ops.raw(bytes(8)))))


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((2,), bytes(8)), ((0,), bytes(8)), ((-1,), bytes(8)), ((-1, -1), bytes(8)), ((2**61,), bytes(8)),
        ((2**32, 2**32), b""), ((2**64,), b""), ((), b""), ((10**12, 0), bytes(8)), ((1,) * 40, bytes(8)),
    ],
)  # fmt: skip
def test_bytes_must_match_the_shape(shape: tuple[int, ...], data: bytes) -> None:
    refused(ops.array(ops.group(*map(ops.integer, shape)), ops.dtype("f8"), ops.raw(data)))


def test_parts_of_another_kind_are_refused() -> None:
    one, eight = ops.group(ops.integer(1)), ops.raw(bytes(8))
    odd = (b"N", ops.text("x"), ops.integer(3), ops.mapping(), b"]", GLOBAL_DTYPE, ops.dtype("f8"), b"G" + bytes(8))
    for value in odd:
        refused(value)
        if value not in odd[-2:-1]:
            refused(ops.array(one, value, eight))
        refused(ops.array(value, ops.dtype("f8"), eight))
        refused(ops.array(ops.group(value), ops.dtype("f8"), eight))
        refused(ops.array(one, ops.dtype("f8"), value))
        refused(ops.built(ops.call(ops.name("numpy.core.multiarray", "_reconstruct")), value))
        refused(ops.stand_in("chumpy.ch.Ch", value))
        refused(ops.stand_in("scipy.sparse.csc.csc_matrix", value))
        refused(ops.stand_in("chumpy.ch.Ch", ops.mapping(x=value)))


def selected(idxs: bytes, shape: bytes) -> bytes:
    ref = ops.stand_in("chumpy.ch.Ch", ops.mapping(x=ops.numbers(np.arange(6.0))))
    return ops.stand_in("chumpy.reordering.Select", ops.mapping(a=ref, idxs=idxs, preferred_shape=shape))


def test_chumpy_selections_and_reshapes_are_checked() -> None:
    two = ops.group(ops.integer(2))
    np.testing.assert_array_equal(dense(content(selected(ops.numbers(np.array([5, 0])), two))["a"], name="a"), [5, 0])
    for index in (6, -7, 2**62):
        refused(selected(ops.numbers(np.array([0, index])), two))
    for idxs in (ops.text("x"), b"N", ops.numbers(np.zeros(2)), ops.mapping()):
        refused(selected(idxs, two))
    for shape in (ops.group(ops.integer(3)), ops.group(ops.integer(10**12)), ops.text("x"), b"N",
                  ops.group(ops.integer(-1), ops.integer(-1)), ops.group(ops.integer(-2))):  # fmt: skip
        refused(selected(ops.numbers(np.array([0, 1])), shape))


def test_nesting_of_chumpy_objects_is_limited() -> None:
    value = ops.numbers(np.zeros(3))
    for _ in range(5000):
        value = ops.stand_in("chumpy.ch.Ch", ops.mapping(x=value))
    assert "nested objects" in str(refused(value))
    itself = ops.name("chumpy.ch", "Ch") + b")\x81q\x01" + ops.mapping(x=b"h\x01") + b"b"
    assert "nested objects" in str(refused(itself))


def compressed(shape: tuple[int, ...], indptr: list[int], indices: list[int], *, data: int = 2) -> bytes:
    parts = {"data": ops.numbers(np.ones(data)), "indices": ops.numbers(np.array(indices, np.int64)),
             "indptr": ops.numbers(np.array(indptr, np.int64)),
             "_shape": ops.group(*map(ops.integer, shape))}  # fmt: skip
    return ops.stand_in("scipy.sparse.csc.csc_matrix", ops.mapping(**parts))


def test_sparse_parts_are_checked_before_allocation() -> None:
    good = compressed((3, 2), [0, 1, 2], [0, 2])
    np.testing.assert_array_equal(dense(content(good)["a"], name="a"), [[1, 0], [0, 0], [0, 1]])
    top = 2**63 - 1
    for bad in (
        compressed((10**6, 10**6), [0, 1, 2], [0, 2]), compressed((2**40, 2**40), [0, 1, 2], [0, 2]),
        compressed((-3, 2), [0, 1, 2], [0, 2]), compressed((3, 2, 1), [0, 1, 2], [0, 2]),
        compressed((3, 2), [0, 1, 2], [0, 3]), compressed((3, 2), [0, 1, 2], [0, -1]),
        compressed((3, 2), [0, 2, 1], [0, 2]), compressed((3, 2), [1, 1, 2], [0, 2]),
        compressed((3, 2), [0, 1, 9], [0, 2]), compressed((3, 2), [0, 1], [0, 2]), compressed((3, 2), [], [0, 2]),
        compressed((3, 2), [0, top, -top], [0, 2]), compressed((3, 4), [0, top, -2, top, 2], [0, 2]),
        compressed((3, 2), [0, 1, 2], [0, 2], data=1),
    ):  # fmt: skip
        tracemalloc.start()
        refused(bad)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


def test_dense_array_is_limited_by_its_number_of_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_pickle, "MAX_ELEMENTS", 100)
    small = ops.array(ops.group(ops.integer(101)), ops.dtype("i1", "|"), ops.raw(bytes(101)))
    assert refused(small).code == "too_large"
    assert len(array(content(small)["a"], name="a")) == 101  # a view of the file allocates nothing
    assert refused(compressed((20, 20), [0] * 21, [])).code == "too_large"


@pytest.mark.parametrize(
    "program",
    [
        b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00.", b"Pabc\n.", b"NQ.", b"\x97.", b"N\x98.", b"\x80\x06.",
        b"\xff.", b"cos\nsystem\n.", b"\x8c\x02os\x8c\x06system\x93.", b"(ios\nsystem\n.", b"cbuiltins\ngetattr\n.",
        b"cnumpy\nload\n.", b"cscipy.sparsefake\nx\n.", b"cscipy\nsparse.x\n.", b"c\n\n.",
        b"ccopyreg\nadd_extension\n.",
    ],
)  # fmt: skip
def test_opcodes_that_reach_outside_the_file_are_refused(program: bytes) -> None:
    with pytest.raises(FileError) as caught:
        read_pickle(program)
    assert caught.value.code == "pickled"


@pytest.mark.parametrize(
    "program",
    [
        b"", b".", b"N", b"0.", b"1.", b"(.", b"(0.", b"]a.", b"(N(2.", b"Na.", b"NNs.", b"}NNNNu.", b"}(Nu.",
        b"(NNNd.",
        b"]]]s.", b"}}Ns.", b")NR.", b"NNR.", b"N)R.", b"N}b.", b"h\x00.", b"g9\n.", b"\x85.", b"N\x86.", b"(\x85.",
        b"cnumpy\n", b"cnumpy\ndtype\n}R.", b"cnumpy\ndtype\nN\x81.", GLOBAL_DTYPE + b"}b.", GLOBAL_DTYPE + b")}}\x92.",
        b"(o.", b"(NNo.", GLOBAL_DTYPE + b")\x81Na.", b"c_codecs\nencode\n)R.", b"c_codecs\nencode\n(NNtR.",
        b"ccopyreg\n_reconstructor\n)R.", b"ccollections\nOrderedDict\n(]]atR.", b"cbuiltins\nset\n(NtR.",
        b"T\xff\xff\xff\xff.", b"X\x02\x00\x00\x00\xff\xff.", b"S'a\n.", b"Sa\n.", b"I\n.", b"Ix\n.", b"Fx\n.",
        b"V\\u12\n.",
        b"\x8a\x09.", b"\x80", b"\x95\x00", b"}" + ops.text("k" * 300) + b"Ns.",
        b"}(" + b"N" * 9 + b"tNs.", b"})\x85\x85Ns.", b"}" + ops.integer(2**61) + b"Ns.",
    ],
)  # fmt: skip
def test_invalid_programs_are_truncated(program: bytes) -> None:
    with pytest.raises(FileError) as caught:
        read_pickle(program)
    assert caught.value.code == "truncated"


@pytest.mark.parametrize(
    ("program", "largest"),
    [
        (b"Nr\xff\xff\xff\xff.", 1), (b"\x96" + struct.pack("<Q", 2**62) + b".", 1),
        (b"\x8e" + struct.pack("<Q", 2**40) + b".", 1), (b"\x95" + struct.pack("<Q", 2**40) + b".", 1),
        (b"\x8b\xff\xff\xff\x7f" + bytes(100) + b".", 1), (b"I" + b"9" * 10**6 + b"\n.", 4),
        (ops.text("😀" + "a" * 2**20) + b".", 4), ((ops.text("😀" + "a" * 10**6) + b"0") * 30 + b".", 200),
        (b"c_codecs\nencode\nq\x00" + ops.text("a" * 10**6) + b"q\x01" + b"h\x00h\x01\x85R" * 9000 + b".", 100),
        (b"cbuiltins\nset\nq\x00(" + b"N" * 10**5 + b"lq\x01" + b"h\x00h\x01\x85R" * 9000 + b".", 100),
    ],
)  # fmt: skip
def test_declared_sizes_allocate_no_memory(program: bytes, largest: int) -> None:
    started = time.perf_counter()
    tracemalloc.start()
    try:
        with contextlib.suppress(FileError):
            read_pickle(program)
        assert tracemalloc.get_traced_memory()[1] < largest * 2**20 + len(program)
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 5.0


DEPTH = 200_000
"""Far beyond what recursion in C survives."""


@pytest.mark.parametrize("program", [b")" + b"\x85" * DEPTH, b"]" * DEPTH + b"a" * (DEPTH - 1), b"(" * DEPTH])
def test_deep_nesting_does_not_crash(program: bytes) -> None:
    """Neither construction nor destruction overflows the stack; hashing of a key does not recurse through its depth."""
    for end in (b".", b"q\x00}h\x00Ns."):
        with contextlib.suppress(FileError):
            read_pickle(program + end)


def test_long_programs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_machine, "MAX_OPCODES", 1000)
    assert read_pickle(b"N0" * 499 + b"N.") is None
    with pytest.raises(FileError) as caught:
        read_pickle(b"N0" * 500 + b"N.")
    assert caught.value.code == "too_large"


def test_file_cannot_affect_later_files() -> None:
    good = pickle.dumps({"a": np.arange(4.0), "o": OrderedDict(x=1)})
    before = dict(copyreg.dispatch_table), dict(vars(Record)), dict(vars(ClassName))
    for qualname in ops.FRAMEWORK:
        target = "c" + qualname.replace(" ", "\n") + "\n"
        for state in (ops.mapping(qualname=b"N", state=b"N", __class__=b"N"), ops.group(b"N", ops.mapping(a=b"N"))):
            for body in (target.encode() + state + b"b", target.encode() + b")\x81" + state + b"b"):
                with contextlib.suppress(FileError):
                    load_arrays(ops.program(body), name="it")
    assert (dict(copyreg.dispatch_table), dict(vars(Record)), dict(vars(ClassName))) == before
    read = load_arrays(good, name="it")
    np.testing.assert_array_equal(dense(read["a"], name="a"), np.arange(4.0))
    assert read["o"] == {"x": 1}


def test_random_programs_give_plain_data_or_an_error() -> None:
    rng = np.random.default_rng(0)
    outcomes: set[object] = set()
    for _ in range(2000):
        try:
            for value in load_arrays(ops.random_program(rng), name="it").values():
                outcomes.add(type(value))
                outcomes.add(type(dense(value, name="value")))
        except FileError as error:
            outcomes.add(error.code)
    kinds = {type(None), bool, int, float, str, bytes, memoryview, tuple, list, dict, Record, ClassName, np.ndarray}
    assert outcomes <= kinds | {"truncated", "pickled", "too_large", "bad_type"}
    assert {Record, np.ndarray, dict, tuple, "truncated", "pickled", "bad_type"} <= outcomes


def test_nested_dictionaries_and_streams_are_read(tmp_path: Path) -> None:
    path = tmp_path / "motions.pkl"
    path.write_bytes(pickle.dumps({"walk": {"poses": np.ones((4, 72)), "fps": 30.0}}))
    with path.open("rb") as stream:
        motion = load_arrays(stream, name="motions.pkl")["walk"]
    assert motion["fps"] == 30.0
    assert dense(motion["poses"], name="poses").shape == (4, 72)
    with pytest.raises(FileError, match=r"motions\.pkl holds a list"):
        load_arrays(b"].", name="motions.pkl")


def test_refused_body_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "SMPL_MALE.pkl"
    for data in (b"\x80\x06.", b"", ops.program(ops.mapping(v_template=b"N", shapedirs=b"N", J_regressor=b"N"))):
        path.write_bytes(data)
        with pytest.raises(BodyModelError, match=r"SMPL_MALE\.pkl"):
            load_body_model(path)
