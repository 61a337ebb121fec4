"""Data sets of the Hugging Face hub, downloaded with the user's token; each file is checked against the hub's own hash.

huggingface_hub lists and transfers files. It supports tokens, mirrors (HF_ENDPOINT) and the hub's storage but checks
only sizes, so the hashes are checked here.
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
from .paths import checked_path, path_below
from .transport import MAX_REASON, ContentMismatch, Unreachable

if TYPE_CHECKING:
    from huggingface_hub import HfApi

DEFAULT_ENDPOINT = "https://huggingface.co"
TRIES, PAUSE = 4, 1.0
"""Number of attempts at a request, and the wait after the first [s]; it doubles after each."""

MAX_FILES = 1_000_000
"""Files of a data set; a longer listing is refused."""

MAX_UNREACHABLE = 8
"""The download stops after this many files in a row for which the hub could not be reached."""

_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file of a data set.

    Attributes:
        path: Path in the repository.
        size: Bytes.
        sha256: Hash of a file in large-file storage; else None.
        blob_id: Git's blob hash: SHA-1 over a header and the bytes.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str

    def matches(self, path: Path) -> bool:
        """Whether a local file has the content of this one."""
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
        licence: Licence stated on the data set's card, or None.
        files: Files, sorted by path.
    """

    repository: str
    revision: str
    licence: str | None
    files: tuple[HubFile, ...]


@dataclass(frozen=True, kw_only=True)
class HubDownload:
    """Outcome of a download: the local path of each downloaded file, and the reason for each failure."""

    paths: Mapping[str, Path] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def endpoint() -> str:
    """URL of the hub: huggingface.co, or the mirror in HF_ENDPOINT."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT


def list_data_set(repository: str, *, revision: str | None = None) -> HubDataSet:
    """List the files of a data set.

    Args:
        repository: OWNER/NAME.
        revision: Branch, tag or commit; the main branch if None.

    Raises:
        AccessError: If the data set is gated or private; the message says what to do.
        DownloadError: If the data set or revision does not exist, or the hub does not respond.
    """
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository):
        raise DownloadError(f"{repository!r} is not a data set of the hub; the format is OWNER/NAME")
    listed = attempt(lambda: _list(repository, revision), passing=(OSError,))
    if isinstance(listed, Failure):
        if listed.expected:
            raise listed.error
        raise DownloadError(f"{endpoint()} sent an unreadable response: {listed.message}") from listed.error
    return listed


def _list(repository: str, revision: str | None) -> HubDataSet:
    """The data set; the hub's responses may be malformed."""
    from huggingface_hub.hf_api import RepoFile

    api = _api()
    info = _request(lambda: api.dataset_info(repository, revision=revision), repository, revision)
    commit = info.sha
    if not isinstance(commit, str) or not _SHA1.fullmatch(commit):
        raise DownloadError(f"{endpoint()} gives no commit of {repository} but {shown(commit)}")

    def tree() -> list[Any]:
        items = api.list_repo_tree(repository, repo_type="dataset", revision=commit, recursive=True)
        return list(itertools.islice(items, MAX_FILES + 1))

    listed = _request(tree, repository, revision)
    if len(listed) > MAX_FILES:
        raise DownloadError(f"{repository} lists more than {MAX_FILES} files")
    files = [_file(item, repository) for item in listed if isinstance(item, RepoFile)]
    licence = info.card_data.get("license") if info.card_data is not None else None
    licences = licence if isinstance(licence, list) else [licence]
    return HubDataSet(
        repository=repository,
        revision=commit,
        licence=", ".join(str(name) for name in licences if name is not None) or None,
        files=tuple(sorted(files, key=lambda file: file.path)),
    )


def _file(item: Any, repository: str) -> HubFile:
    """One file of a listing, with its types checked."""
    sha256 = item.lfs.sha256 if item.lfs else None
    valid = isinstance(item.path, str) and type(item.size) is int and item.size >= 0 and isinstance(item.blob_id, str)
    if not valid or not (sha256 is None or (isinstance(sha256, str) and _SHA256.fullmatch(sha256))):
        raise DownloadError(f"{repository} lists a file as {shown(item)}, not with its path, size and hash")
    return HubFile(path=item.path, size=item.size, sha256=sha256, blob_id=item.blob_id)


def fetch_files(
    data_set: HubDataSet,
    files: Sequence[HubFile],
    out: Path,
    *,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> HubDownload:
    """Download files of a data set, several at a time; complete local files are skipped.

    Args:
        data_set: Data set from `list_data_set`.
        files: Files to download.
        out: Output folder; paths below it are those of the repository.
        workers: Number of parallel downloads.
        progress: Called with the number of finished files and their bytes.

    Raises:
        AccessError: If the data set is gated or private, which affects every file.
        DownloadError: If the folder is not writable.
    """
    paths: dict[str, Path] = {}
    failed: dict[str, str] = {}
    nbyte = unreachable = 0
    stop = threading.Event()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"cannot write to {out}: {error.strerror}") from error
    with ThreadPoolExecutor(max_workers=workers) as pool:
        jobs = {pool.submit(_try_fetch, data_set, file, out, stop): file for file in files}
        try:
            for job in as_completed(jobs):
                file, outcome = jobs[job], job.result()
                if isinstance(outcome, Failure):
                    failed[file.path] = outcome.message
                    unreachable += isinstance(outcome.error, Unreachable)
                else:
                    paths[file.path] = outcome
                    unreachable = 0
                if unreachable >= MAX_UNREACHABLE:
                    stop.set()
                nbyte += file.size
                if progress is not None:
                    progress(len(paths) + len(failed), nbyte)
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return HubDownload(paths=dict(sorted(paths.items())), failed=dict(sorted(failed.items())))


def _try_fetch(data_set: HubDataSet, file: HubFile, out: Path, stop: threading.Event) -> Path | Failure:
    """Download one file or return its failure; only refused access raises, because it affects every file."""
    if stop.is_set():
        error = DownloadError(f"skipped after {MAX_UNREACHABLE} unreachable files in a row; run again to resume")
        return Failure(code=ReasonCode.DOWNLOAD, message=str(error), expected=True, error=error)
    return attempt(lambda: _fetch_one(data_set, file, out), code=ReasonCode.DOWNLOAD, passing=(AccessError,))


def _fetch_one(data_set: HubDataSet, file: HubFile, out: Path) -> Path:
    from huggingface_hub import hf_hub_download

    path = path_below(out, checked_path(file.path))
    if file.matches(path):
        return path
    for again in (False, True):
        force = again or path.exists()  # the existing file is wrong, whatever the library's cache says
        _request(
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
        if file.matches(path):
            return path
        path.unlink(missing_ok=True)
    raise ContentMismatch(f"{file.path} of {data_set.repository} does not have the hash that the hub lists")


def _api() -> "HfApi":
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint())


def _request(send: Callable[[], Result], repository: str, revision: str | None, *, file: str = "") -> Result:
    """Send a request to the hub. Retries transient errors; raises others with a message for the user."""
    errors = _library_errors()
    for pause in (*(PAUSE * 2**k for k in range(TRIES - 1)), None):
        try:
            return send()
        except errors as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                raise  # a local error: disk full, no permission
            translated = _translate(error, repository, revision, file)
            if translated is not None:
                raise translated from error
            if pause is None:
                name = f"{file} of {repository}" if file else repository
                raise DownloadError(f"cannot download {name} from {endpoint()}: {_first_line(error)}") from error
            time.sleep(pause)
    raise AssertionError("unreachable")


def _library_errors() -> tuple[type[Exception], ...]:
    """Errors that huggingface_hub raises: OSError, ValueError, and those of its HTTP library.

    The HTTP library depends on the release; its base class is a base of the hub's own errors.
    """
    from huggingface_hub.errors import HfHubHTTPError

    bases = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
    return (*bases, OSError, ValueError)


def _translate(error: BaseException, repository: str, revision: str | None, file: str) -> DownloadError | None:
    """Convert a library's error to one for the user; None if it is transient."""
    responses = [response for cause in _causes(error) if (response := getattr(cause, "response", None)) is not None]
    if not responses:
        transient = not isinstance(error, ValueError) or "onsistency" in str(error)
        return None if transient else DownloadError(f"{repository}: {_first_line(error)}")
    response = responses[0]
    status, code = int(response.status_code), response.headers.get("X-Error-Code", "")
    if status in (401, 403) or code == "GatedRepo":
        return AccessError(_access_instructions(repository, status, code))
    if code == "RevisionNotFound":
        return DownloadError(f"{repository} has no revision {revision!r} (404)")
    if status == 404 and file:
        return DownloadError(f"{repository} has no file {file} at {revision} (404)")
    if status == 404:
        return DownloadError(f"{endpoint()} has no data set {repository} (404), or your account cannot see it")
    if status == 416 or status == 429 or status >= 500:
        return None
    return DownloadError(f"{repository}: the hub responds with {status} {_server_message(response)}".strip())


def _server_message(response: Any) -> str:
    """The hub's own error message, shortened."""
    return str(response.headers.get("X-Error-Message", ""))[:MAX_REASON]


def _access_instructions(repository: str, status: int, code: str) -> str:
    """Instructions for getting access."""
    from huggingface_hub import get_token

    page = f"{DEFAULT_ENDPOINT}/datasets/{repository}"
    has_token = get_token() is not None
    steps = []
    if status == 403 or code == "GatedRepo" or not has_token:
        steps.append(f"open {page} in a browser, log in, and request access or accept the terms (some requests are "
                     "approved by a person, which takes a while)")  # fmt: skip
    if has_token:
        steps.append(f"check that the token belongs to that account, is still valid, and may read gated repositories: "
                     f"{DEFAULT_ENDPOINT}/settings/tokens")  # fmt: skip
    else:
        steps.append(f"create a token with read access at {DEFAULT_ENDPOINT}/settings/tokens and pass it with "
                     "`hf auth login` or in the environment variable HF_TOKEN")  # fmt: skip
    reason = "no token was found" if not has_token else f"the hub refused the token ({status})"
    gated = "is gated" if code == "GatedRepo" else "is gated or private, or does not exist"
    numbered = "; ".join(f"({k}) {step}" for k, step in enumerate((*steps, "run the same command again"), start=1))
    return f"{repository} {gated}, and {reason}. {numbered}."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _first_line(error: Any) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
