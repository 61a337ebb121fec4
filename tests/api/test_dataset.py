"""Data sets: the table lists every source, clips are found by name, and windows cover the clips exactly once."""

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

import musclemap as mm
from musclemap.api.hub import PublishError
from musclemap.api.windows import Windows, batches
from musclemap.datasets.clip import write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.datasets.output_folder import read_manifest
from musclemap.errors import ClipError, SettingsError
from musclemap.imitation.task.arm_motions import arm_clip
from musclemap.pipelines.packing.bundle import BundleMetadata, write_bundle
from musclemap.pipelines.packing.contents import PackOptions, select_contents
from musclemap.pipelines.train.dataset import list_clips

from ..support.data.small_clip import small_clip

NFRAMES = {"a/one": 40, "a/two": 33, "b/three": 64, "c/four": 9, "d/five": 50}


def _clip(name: str, nframe: int) -> Any:
    clip = small_clip(nframe=nframe, source=f"{name}.npz", verdict="feasible", reasons=())
    return replace(clip, qpos=clip.qpos + 100.0 * nframe)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips, one of them infeasible, and a source without a clip."""
    root = tmp_path_factory.mktemp("data") / "out"
    entries = [ManifestEntry(source="z/lost.npz", status="rejected", reason="no_frames: the file has no frames")]
    for name, nframe in NFRAMES.items():
        clip = _clip(name, nframe)
        clip = replace(clip, verdict="infeasible") if name == "d/five" else clip
        entries.append(
            ManifestEntry(
                source=clip.source, clip=f"{name}.h5", clip_sha256=write_clip(root / f"{name}.h5", clip), status="ok",
                nframe=nframe, seconds=clip.duration, verdict=clip.verdict,
                metrics={"landmark_error_mm": float(nframe), "status": "hidden"},
            )
        )  # fmt: skip
    Manifest(entries=tuple(entries)).write(root / "manifest.jsonl")
    return root


@pytest.fixture(scope="module")
def data(out: Path) -> mm.Dataset:
    return mm.open(out)


def test_every_source_has_a_row(data: mm.Dataset, out: Path) -> None:
    table = data.table
    assert list(table.index) == [entry.source for entry in read_manifest(out).entries]
    assert table.loc["z/lost.npz", "reason"] == "no_frames: the file has no frames"
    assert list(table["status"]) == ["ok"] * 5 + ["rejected"]  # a metric of that name does not hide it
    assert table.loc["a/two.npz", "landmark_error_mm"] == 33.0
    assert repr(data) == f"<Dataset {out}: 5 clips, 0.001 h, 4 feasible, 1 infeasible, 1 sources without a clip>"


def test_clips_by_iteration_number_and_name(data: mm.Dataset) -> None:
    assert len(data) == 5
    assert [clip.source for clip in data] == [f"{name}.npz" for name in NFRAMES]
    assert all(isinstance(clip, mm.Clip) for clip in data)
    assert data[2].nframe == data["three"].nframe == data["b/three.h5"].nframe == 64
    assert dict(data.items())["c/four.h5"].nframe == 9
    with pytest.raises(IndexError):
        data[5]
    with pytest.raises(SettingsError, match=r"2 clips contain 'a/', such as a/one.h5, a/two.h5"):
        data["a/"]
    with pytest.raises(SettingsError, match=r"no clip .* contains 'thre3'; close names: b/three.h5"):
        data["thre3"]


def test_filters_read_no_clip(data: mm.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musclemap.api.dataset.read_clip", None)
    kept = data.filter(lambda row: row["verdict"] == "feasible" and row["nframe"] > 35)
    assert kept.names == ("a/one.h5", "b/three.h5")
    assert len(data.windows(length=8)) == sum(nframe // 8 for nframe in NFRAMES.values())


def test_a_changed_clip_is_refused(data: mm.Dataset, out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    write_clip(copy / "a/one.h5", _clip("a/one", 41))
    (copy / "manifest.jsonl").write_bytes((out / "manifest.jsonl").read_bytes())
    with pytest.raises(ClipError):
        mm.open(copy)["a/one"]


def test_other_folders_and_wrong_paths(out: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "bare" / "x" / "clip.h5", _clip("one", 20))
    bare = mm.open(str(tmp_path / "bare"))
    assert (bare.names, len(bare.windows(length=10))) == (("x/clip.h5",), 2)
    (tmp_path / "empty").mkdir()
    wrong = {
        tmp_path / "bale": "no folder .*did you mean bare", tmp_path / "empty": "holds no clip",
        out / "a/one.h5": "is a file; mm.load opens", tmp_path / "no" / "no": "no folder .*no either",
    }  # fmt: skip
    for path, message in wrong.items():
        with pytest.raises(SettingsError, match=message):
            mm.open(path)
    wrong = {
        out: "is a folder; mm.open", out / "a/0ne.h5": r"no file .*did you mean one.h5\?",
        out / "manifest.jsonl": r"no clip \(.h5\); mm.retarget", Path("builtin-walx"): "clip in the package",
    }  # fmt: skip
    for path, message in wrong.items():
        with pytest.raises(ClipError, match=message):
            mm.load(path)
    with pytest.raises(ClipError, match="has no track: no folder above"):
        mm.load(out / "a/one.h5", tracked=True)


def test_builtin_data_sets() -> None:
    arm, walk = mm.open("builtin-arm"), mm.open("builtin-walk")
    assert (len(arm), arm.root, len(walk), walk.root) == (12, None, 1, None)
    np.testing.assert_array_equal(arm[3].qpos, arm_clip(3, 4.0, seed=1).qpos)
    assert arm.rows[3]["nframe"] == arm[3].nframe
    assert walk[0].model == "MyoFullBody"
    with pytest.raises(SettingsError, match="mm-download builtin-walk OUT"):
        mm.track(walk)
    with pytest.raises(SettingsError, match="in every installation"):
        arm.to_hub("me/arm")


# Windows


def _covered(windows: Windows, **options: Any) -> Counter[tuple[str, int]]:
    return Counter((windows.names[window["clip"]], window["frame"]) for window in windows.epoch(**options))


@pytest.mark.parametrize(("length", "stride"), [(8, None), (8, 3), (16, 20), (33, 1)])
def test_an_epoch_has_every_window_once(data: mm.Dataset, length: int, stride: int | None) -> None:
    windows, step = data.windows(length=length, stride=stride, held=2), stride or length
    expected = Counter(
        (f"{name}.h5", frame) for name, nframe in NFRAMES.items() for frame in range(0, nframe - length + 1, step)
    )
    assert _covered(windows) == _covered(windows, seed=3) == expected
    assert len(windows) == expected.total()
    assert set(windows.too_short) == {f"{name}.h5" for name, nframe in NFRAMES.items() if nframe < length}
    parts = [_covered(windows, seed=3, part=part, parts=3) for part in range(3)]
    assert sum(parts, Counter()) == expected


def test_windows_are_the_frames_of_the_clips(data: mm.Dataset) -> None:
    windows = data.windows(length=7, arrays=("qpos", "contact"))
    for window in windows.epoch(seed=0):
        clip = data[windows.names[window["clip"]]]
        rows = slice(window["frame"], window["frame"] + 7)
        np.testing.assert_array_equal(window["qpos"], clip.qpos[rows])
        np.testing.assert_array_equal(window["contact"], clip.contact[rows])
        assert window["qpos"].base is not None  # a view


def test_the_order_follows_the_seed(data: mm.Dataset) -> None:
    windows = data.windows(length=4)
    order = lambda seed: [(window["clip"], window["frame"]) for window in windows.epoch(seed=seed)]  # noqa: E731
    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(None) == sorted(order(1))
    mixed = [clip for clip, _ in order(1)]
    assert mixed != sorted(mixed, key=mixed.index)  # windows of different clips alternate


def test_each_clip_is_read_once_and_few_are_held(data: mm.Dataset) -> None:
    reads: list[str] = []

    def read(name: str) -> mm.Clip:
        reads.append(name)
        return data.read(name)

    windows = Windows(read, {f"{name}.h5": nframe for name, nframe in NFRAMES.items()}, length=3, held=2)
    seen = []
    for window in windows.epoch(seed=0):
        seen.append(window["clip"])
        open_clips = {k for k in set(seen) if seen.count(k) < windows.counts[k]}
        assert len(open_clips) <= 2
    assert sorted(reads) == sorted(windows.names)


def test_batches_have_one_shape(data: mm.Dataset) -> None:
    windows = data.windows(length=8)
    stacked = list(batches(windows.epoch(seed=0), size=5, drop_last=False))
    assert [len(batch["frame"]) for batch in stacked] == [5] * (len(windows) // 5) + [len(windows) % 5]
    assert len(list(batches(windows.epoch(seed=0), size=5, drop_last=True))) == len(windows) // 5
    first = next(iter(windows.epoch(seed=0)))
    np.testing.assert_array_equal(stacked[0]["qpos"][0], first["qpos"])


def test_wrong_windows_are_answered(data: mm.Dataset) -> None:
    with pytest.raises(SettingsError, match="none of the 5 clips has 100 frames; the longest has 64"):
        data.windows(length=100)
    with pytest.raises(SettingsError, match="no array 'velocity'; the arrays are qpos"):
        data.windows(length=8, arrays="velocity")
    with pytest.raises(SettingsError, match="positive"):
        data.windows(length=8, stride=0)
    with pytest.raises(SettingsError, match="batch_size"):
        data.jax(length=8, batch_size=0)
    with pytest.raises(ClipError, match=r"has no activation; mm.validate\(folder, muscles=True\)"):
        next(data.windows(length=8, arrays=("activation",)).epoch())


def test_jax_batches(data: mm.Dataset) -> None:
    import jax

    found = list(data.jax(length=8, batch_size=4, seed=1))
    reference = list(batches(data.windows(length=8).epoch(seed=1), size=4, drop_last=True))
    assert len(found) == len(reference) > 2
    for one, other in zip(found, reference, strict=True):
        assert isinstance(one["qpos"], jax.Array)
        jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("workers", [0, 2])
def test_torch_loader_has_every_window_once(data: mm.Dataset, workers: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch comes with the extra [smpl]")
    windows = data.torch(length=8)
    loader = torch.utils.data.DataLoader(windows, batch_size=4, num_workers=workers, multiprocessing_context=(
        "spawn" if workers else None))  # fmt: skip

    def order(seed: int) -> list[tuple[int, int]]:
        torch.manual_seed(seed)
        return [pair for batch in loader for pair in zip(batch["clip"].tolist(), batch["frame"].tolist(), strict=True)]

    first, again, other = order(0), order(0), order(1)
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)
    assert Counter(first) == Counter((window["clip"], window["frame"]) for window in windows.windows.epoch())
    assert len(windows) == len(first)


def test_torch_tensors_share_memory(data: mm.Dataset) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch comes with the extra [smpl]")
    windows = pickle.loads(pickle.dumps(data.torch(length=8, stride=1, shuffle=False)))
    first, second = (window for window, _ in zip(windows, range(2), strict=False))
    assert first["qpos"].dtype == torch.float32
    first["qpos"][1, 0] = 12345.0
    assert second["qpos"][0, 0] == 12345.0


# Bundles and the hub


@pytest.fixture
def bundle(out: Path, tmp_path: Path) -> Path:
    options = PackOptions(shares={"train": 0.4, "val": 0.3, "test": 0.3})
    contents = select_contents(out, options)
    write_bundle(out, contents, tmp_path / "bundle", options, BundleMetadata(name="bundle"))
    return tmp_path / "bundle"


def test_splits_of_a_bundle(bundle: Path) -> None:
    data = mm.open(bundle)
    assert set(data.splits) == {"train", "val", "test"}
    assert Counter(name for names in data.splits.values() for name in names) == Counter(data.names)
    for split, names in data.splits.items():
        assert data.split(split).names == names
        assert tuple(item.path for item in list_clips(bundle, split=split)) == names  # what mm-train uses
    with pytest.raises(SettingsError, match="no split 'dev'; available: test, train, val"):
        data.split("dev")
    (bundle / "manifest.jsonl").unlink()  # a bundle of another program
    assert mm.open(bundle).splits == data.splits


class _Hub:
    """Stands in for the hub: keeps what is uploaded."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}

    def __call__(self, **options: Any) -> "_Hub":
        return self

    def create_repo(self, repository: str, **options: Any) -> None:
        self.calls.append((repository, options))
        if repository.startswith("forbidden/"):
            raise OSError("403 Forbidden for https://user:secret@hub.example/api?token=hf_abcdefghijklmnopqrstuv")

    def upload_folder(self, *, folder_path: Path, **options: Any) -> None:
        paths = [path for path in folder_path.rglob("*") if path.is_file()]
        self.files = {path.relative_to(folder_path).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> _Hub:
    hub = _Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    return hub


def test_a_folder_is_packed_and_uploaded(data: mm.Dataset, hub: _Hub) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow comes with the extra [data]")
    kept = data.filter(lambda row: row["nframe"] > 10)
    assert kept.to_hub("me/walks", description="Walks.") == "https://huggingface.co/datasets/me/walks"
    assert hub.calls == [("me/walks", {"repo_type": "dataset", "private": False, "exist_ok": True})]
    clips = {name for name in hub.files if name.endswith(".h5")}
    assert clips == {"clips/a/one.h5", "clips/a/two.h5", "clips/b/three.h5"}
    assert any(name.startswith("data/train-") for name in hub.files)
    card = hub.files["README.md"].decode()
    assert "Walks." in card
    assert "path: data/train-*.parquet" in card


def test_what_must_not_be_shared_is_not_uploaded(out: Path, hub: _Hub, tmp_path: Path) -> None:
    clip = _clip("k/secret", 20)
    write_clip(tmp_path / "clip.h5", replace(clip, licence="no redistribution"))
    secret = tmp_path / "secret"
    entry = ManifestEntry(
        source="k/secret.npz", clip="k.h5", clip_sha256=write_clip(secret / "k.h5", replace(clip, licence="mine")),
        status="ok", nframe=20, seconds=clip.duration, verdict="feasible",
    )  # fmt: skip
    open_entry = ManifestEntry(
        source="k/open.npz", clip="o.h5", clip_sha256=write_clip(secret / "o.h5", clip), status="ok", nframe=20,
        seconds=clip.duration, verdict="feasible",
    )  # fmt: skip
    Manifest(entries=(entry, open_entry)).write(secret / "manifest.jsonl")
    data = mm.open(secret)
    with pytest.raises(SettingsError, match=r"1 clip cannot be published, such as k/secret.npz: its licence"):
        data.to_hub("me/walks")
    assert not hub.calls
    data.to_hub("me/walks", private=True, parquet=False)
    assert hub.calls[0][1]["private"] is True
    assert "clips/k.h5" in hub.files
    data.filter(lambda row: row["source"] == "k/open.npz").to_hub("me/walks", parquet=False)
    assert "clips/k.h5" not in hub.files


def test_a_bundle_is_uploaded_as_it_is(bundle: Path, hub: _Hub) -> None:
    data = mm.open(bundle)
    data.to_hub("me/walks")
    assert hub.files == {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*")
                         if path.is_file()}  # fmt: skip
    with pytest.raises(SettingsError, match="uploaded as a whole"):
        data.split("train").to_hub("me/walks")


def test_a_refusal_of_the_hub_is_one_line_without_secrets(bundle: Path, hub: _Hub) -> None:
    with pytest.raises(PublishError, match=r"did not accept forbidden/walks: .*403 Forbidden") as caught:
        mm.open(bundle).to_hub("forbidden/walks")
    assert "secret" not in str(caught.value)
    assert "hf_" not in str(caught.value)
