"""Data sets of the Hugging Face hub, with the user's token, each file checked against the hub's own hash.

Of huggingface_hub the listing and the transfer are used, which know tokens, mirrors (HF_ENDPOINT) and the hub's
storage; it checks sizes only, so hashes are checked here.
"""

import hashlib
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from musclemap.failures import Failure, attempt
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode

from .errors import AccessError, DownloadError
from .paths import checked_path, place_below
from .transport import LONGEST_REASON, Altered, Unreachable

if TYPE_CHECKING:
    from huggingface_hub import HfApi

DEFAULT_ENDPOINT = "https://huggingface.co"
TRIES, PAUSE = 4, 1.0
"""Attempts at a listing, and the wait after the first [s], doubled after each."""

MOST_FILES = 1_000_000
"""Files of a data set; a listing that goes on beyond is none."""

LOST_IN_A_ROW = 8
"""Files that the hub does not bring, one after the other, until it is asked for no more."""

_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file of a data set.

    Attributes:
        path: In the repository.
        size: Bytes.
        sha256: Hash, for files in large-file storage; else None.
        blob_id: Git's name for the content: SHA-1 over a header and the bytes.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str

    def matches(self, path: Path) -> bool:
        """Whether a file here has the content of this one."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            if self.sha256 is not None:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
            digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            return digest.hexdigest() == self.blob_id


@dataclass(frozen=True, kw_only=True)
class HubDataSet:
    """A data set at one commit.

    Attributes:
        repository: OWNER/NAME.
        revision: Commit.
        licence: As its card has it, or None.
        files: Sorted by path.
    """

    repository: str
    revision: str
    licence: str | None
    files: tuple[HubFile, ...]


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What came: where each file lies by its path, and why others do not."""

    places: Mapping[str, Path] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def endpoint() -> str:
    """The hub: huggingface.co, or the mirror that HF_ENDPOINT names."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT


def list_data_set(repository: str, *, revision: str | None = None) -> HubDataSet:
    """What a data set holds.

    Args:
        repository: OWNER/NAME.
        revision: Branch, tag or commit; the main branch if None.

    Raises:
        AccessError: It is gated or private; the message says what to do.
        DownloadError: There is no such data set or revision, or the hub does not answer.
    """
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository):
        raise DownloadError(f"{repository!r} is no data set of the hub; it would be OWNER/NAME")
    listed = attempt(lambda: _listed(repository, revision), passing=(OSError,))
    if isinstance(listed, Failure):
        if listed.expected:
            raise listed.error
        raise DownloadError(f"{endpoint()} answers what nobody can read: {listed.message}") from listed.error
    return listed


def _listed(repository: str, revision: str | None) -> HubDataSet:
    """The data set, as far as the hub's answers make sense."""
    from huggingface_hub.hf_api import RepoFile

    api = _api()
    info = _ask(lambda: api.dataset_info(repository, revision=revision), repository, revision)
    commit = info.sha
    if not isinstance(commit, str) or not _SHA1.fullmatch(commit):
        raise DownloadError(f"{endpoint()} gives no commit of {repository}, but {shown(commit)}")

    def tree() -> list[Any]:
        result = api.list_repo_tree(repository, repo_type="dataset", revision=commit, recursive=True)
        return list(itertools.islice(result, MOST_FILES + 1))

    listed = _ask(tree, repository, revision)
    if len(listed) > MOST_FILES:
        raise DownloadError(f"{repository} lists more than {MOST_FILES} files")
    files = [_file(item, repository) for item in listed if isinstance(item, RepoFile)]
    licence = info.card_data.get("license") if info.card_data is not None else None
    licences = licence if isinstance(licence, list) else [licence]
    return HubDataSet(
        repository=repository,
        revision=commit,
        licence=", ".join(str(one) for one in licences if one is not None) or None,
        files=tuple(sorted(files, key=lambda file: file.path)),
    )


def _file(item: Any, repository: str) -> HubFile:
    """One file of a listing, of the right types."""
    sha256 = item.lfs.sha256 if item.lfs else None
    right = isinstance(item.path, str) and type(item.size) is int and item.size >= 0 and isinstance(item.blob_id, str)
    if not right or not (sha256 is None or (isinstance(sha256, str) and _SHA256.fullmatch(sha256))):
        raise DownloadError(f"{repository} lists a file as {shown(item)}, not with its path, size and hash")
    return HubFile(path=item.path, size=item.size, sha256=sha256, blob_id=item.blob_id)


def fetch_files(
    data_set: HubDataSet,
    files: Sequence[HubFile],
    out: Path,
    *,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Brought:
    """Bring files of a data set, several at a time; those that are here whole are not asked for.

    Args:
        data_set: From `list_data_set`.
        files: Which of its files.
        out: Folder; files lie below it as in the repository.
        workers: How many at a time.
        progress: Called with the number of files that are settled, and their bytes.

    Raises:
        AccessError: The data set is gated or private, which is the same for every file.
        DownloadError: The folder cannot be written to.
    """
    places: dict[str, Path] = {}
    failed: dict[str, str] = {}
    nbyte = lost = 0
    stop = threading.Event()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"cannot write to {out}: {error.strerror}") from error
    with ThreadPoolExecutor(max_workers=workers) as pool:
        jobs = {pool.submit(_tried, data_set, file, out, stop): file for file in files}
        try:
            for job in as_completed(jobs):
                file, result = jobs[job], job.result()
                if isinstance(result, Failure):
                    failed[file.path] = result.message
                    lost += isinstance(result.error, Unreachable)
                else:
                    places[file.path] = result
                    lost = 0
                if lost >= LOST_IN_A_ROW:
                    stop.set()
                nbyte += file.size
                if progress is not None:
                    progress(len(places) + len(failed), nbyte)
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return Brought(places=dict(sorted(places.items())), failed=dict(sorted(failed.items())))


def _tried(data_set: HubDataSet, file: HubFile, out: Path, stop: threading.Event) -> Path | Failure:
    """Bring one file, or say why not; only a closed gate is every file's."""
    if stop.is_set():
        error = DownloadError(f"not asked for, as {LOST_IN_A_ROW} files in a row did not come; run again to go on")
        return Failure(code=ReasonCode.DOWNLOAD, message=str(error), expected=True, error=error)
    return attempt(lambda: _fetch_one(data_set, file, out), code=ReasonCode.DOWNLOAD, passing=(AccessError,))


def _fetch_one(data_set: HubDataSet, file: HubFile, out: Path) -> Path:
    from huggingface_hub import hf_hub_download

    place = place_below(out, checked_path(file.path))
    if file.matches(place):
        return place
    for again in (False, True):
        force = again or place.exists()  # what lies there is not the file, whatever the library's notes say
        _ask(
            lambda force=force: hf_hub_download(
                data_set.repository,
                file.path,
                repo_type="dataset",
                revision=data_set.revision,
                local_dir=out,
                endpoint=endpoint(),
                force_download=force,
            ),
            data_set.repository,
            data_set.revision,
            file=file.path,
        )
        if file.matches(place):
            return place
        place.unlink(missing_ok=True)
    raise Altered(f"{file.path} of {data_set.repository} is not what the hub announced: its hash is another")


def _api() -> "HfApi":
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint())


def _ask(question: Callable[[], Result], repository: str, revision: str | None, *, file: str = "") -> Result:
    """The hub's answer; what may pass is tried again, everything else becomes a sentence."""
    faults = _faults()
    for pause in (*(PAUSE * 2**k for k in range(TRIES - 1)), None):
        try:
            return question()
        except faults as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                raise  # of this machine: no room, no permission
            message = _meaning(error, repository, revision, file)
            if message is not None:
                raise message from error
            if pause is None:
                name = f"{file} of {repository}" if file else repository
                raise DownloadError(f"{name} does not come from {endpoint()}: {_first_line(error)}") from error
            time.sleep(pause)
    raise AssertionError("unreachable")


def _faults() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises: OSError, ValueError, and the errors of its HTTP library.

    Which library that is changes with the release; its base class is a base of the hub's own errors.
    """
    from huggingface_hub.errors import HfHubHTTPError

    bases = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
    return (*bases, OSError, ValueError)


def _meaning(error: BaseException, repository: str, revision: str | None, file: str) -> DownloadError | None:
    """What an error says to the user; None where it may pass."""
    answers = [answer for cause in _causes(error) if (answer := getattr(cause, "response", None)) is not None]
    if not answers:
        passing = not isinstance(error, ValueError) or "onsistency" in str(error)
        return None if passing else DownloadError(f"{repository}: {_first_line(error)}")
    answer = answers[0]
    status, code = int(answer.status_code), answer.headers.get("X-Error-Code", "")
    if status in (401, 403) or code == "GatedRepo":
        return AccessError(_gate(repository, status, code))
    if code == "RevisionNotFound":
        return DownloadError(f"{repository} has no revision {revision!r} (404)")
    if status == 404 and file:
        return DownloadError(f"{repository} has no file {file} at {revision} (404)")
    if status == 404:
        return DownloadError(f"{endpoint()} has no data set {repository} (404), or your account may not see it")
    if status == 416 or status == 429 or status >= 500:
        return None
    return DownloadError(f"{repository}: the hub answers {status} {_said(answer)}".strip())


def _said(answer: Any) -> str:
    """The hub's own words, which may be of any length."""
    return str(answer.headers.get("X-Error-Message", ""))[:LONGEST_REASON]


def _gate(repository: str, status: int, code: str) -> str:
    """How to get through."""
    from huggingface_hub import get_token

    page = f"{DEFAULT_ENDPOINT}/datasets/{repository}"
    has_token = get_token() is not None
    steps = []
    if status == 403 or code == "GatedRepo" or not has_token:
        steps.append(f"open {page} in a browser, log in, and ask for access or accept the terms (some are approved "
                     "by a person, which takes a while)")  # fmt: skip
    if has_token:
        steps.append(f"see that the token is of that account, still valid, and may read gated repositories: "
                     f"{DEFAULT_ENDPOINT}/settings/tokens")  # fmt: skip
    else:
        steps.append(f"make a token that may read at {DEFAULT_ENDPOINT}/settings/tokens and give it by "
                     "`hf auth login` or in the environment variable HF_TOKEN")  # fmt: skip
    why = "no token was found" if not has_token else f"the hub refused the token ({status})"
    gated = "is gated" if code == "GatedRepo" else "is gated or private, or does not exist"
    numbered = "; ".join(f"({k}) {step}" for k, step in enumerate((*steps, "run the same command again"), start=1))
    return f"{repository} {gated}, and {why}. {numbered}."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _first_line(error: Any) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
