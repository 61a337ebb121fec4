"""HTTP requests that send a password only to the server it is for, and follow redirects without reading their bodies.

requests reads the whole body of a redirect into memory, whatever its size, so redirects are followed here.
"""

from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_auth_from_url

from .errors import DownloadError
from .pace import WATCHED_POOLS

MAX_REDIRECTS = 10

_REDIRECTS = (301, 302, 303, 307, 308)


class Session(requests.Session):
    """Connections that a `Pace` can end. One thread's."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests follows nothing."""
        return

    def ask(self, url: str, *, headers: dict[str, str], timeout: float) -> requests.Response:
        """Answer to a GET, after redirects, with a body that is yet to be read.

        User and password of the address are sent to its host and port, and to no other.

        Args:
            url: May hold user:password@.
            headers: Of the request.
            timeout: Longest silence [s].

        Raises:
            DownloadError: A redirect leads to another kind of address, from https to http, or to yet another redirect,
                over and over.
            requests.RequestException: As requests.
        """
        user, password = get_auth_from_url(url)
        # requests sends what it can write in Latin-1; most servers want UTF-8
        secret = (_as_utf8(user), _as_utf8(password)) if user or password else None
        home, place = _origin(check_url(url)), _without_user(url)
        for _ in range(MAX_REDIRECTS + 1):
            auth = secret if _origin(place) == home else None
            answer = self.get(place, headers=headers, auth=auth, stream=True, timeout=timeout, allow_redirects=False)
            target = answer.headers.get("location")
            if answer.status_code not in _REDIRECTS or not target:
                return answer
            answer.close()
            place = _redirected(place, target)
        raise DownloadError(f"{url} redirects more than {MAX_REDIRECTS} times")


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests'."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = WATCHED_POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """As requests'."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = WATCHED_POOLS
        return manager


def check_url(url: str) -> str:
    """A URL that is read over HTTP.

    Raises:
        DownloadError: It is another kind.
    """
    try:
        parts = urlsplit(url)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that are not those of an IPv6 address, or a port that is no number
        fit = False
    if not fit:
        raise DownloadError(f"{url!r} is no http or https address")
    return url


def _as_utf8(text: str) -> str:
    return text.encode().decode("latin-1")


def _redirected(place: str, target: str) -> str:
    """Where a redirect leads; a user in it is dropped."""
    name = target.encode("latin-1", "replace").decode("utf-8", "replace")  # how HTTP libraries decode headers
    try:
        new = urljoin(place, name)
    except ValueError as error:
        raise DownloadError(f"{place} redirects to {name!r}, which is no address") from error
    check_url(new)
    if urlsplit(place).scheme == "https" and urlsplit(new).scheme == "http":
        raise DownloadError(f"{place} redirects from https to {new}, which anybody on the way could alter")
    return _without_user(new)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
