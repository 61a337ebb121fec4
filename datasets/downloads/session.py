"""HTTP requests that send a password only to the server it is for, and follow redirects without reading their bodies.

requests reads the whole body of a redirect into memory, whatever its size, so this module follows redirects itself.
"""

from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_auth_from_url

from .errors import DownloadError
from .speed_guard import WATCHED_POOLS

MAX_REDIRECTS = 10

_REDIRECTS = (301, 302, 303, 307, 308)


class Session(requests.Session):
    """Connections of one thread, which a `SpeedGuard` can abort."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, so that requests itself follows no redirect."""
        return

    def get_response(self, url: str, *, headers: dict[str, str], timeout: float) -> requests.Response:
        """Send a GET and follow redirects; the response's body has not been read.

        User and password in the URL are sent to its host and port only.

        Args:
            url: URL, which may contain user:password@.
            headers: Headers of the request.
            timeout: Maximum silence [s].

        Raises:
            DownloadError: If a redirect leads to another scheme, from https to http, or if there are too many.
            requests.RequestException: If requests raises it.
        """
        user, password = get_auth_from_url(url)
        # requests encodes as Latin-1 whatever it can; most servers expect UTF-8
        credentials = (_as_utf8(user), _as_utf8(password)) if user or password else None
        origin, target = _origin(check_url(url)), _without_user(url)
        for _ in range(MAX_REDIRECTS + 1):
            auth = credentials if _origin(target) == origin else None
            response = self.get(target, headers=headers, auth=auth, stream=True, timeout=timeout, allow_redirects=False)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            response.close()
            target = _redirect_target(target, location)
        raise DownloadError(f"{url} redirects more than {MAX_REDIRECTS} times")


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create urllib3's pools with watched connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = WATCHED_POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Create urllib3's proxy pools with watched connections."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = WATCHED_POOLS
        return manager


def check_url(url: str) -> str:
    """Return the URL if it is an http or https URL.

    Raises:
        DownloadError: If it is not.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not enclose an IPv6 address, or a port that is not a number
        valid = False
    if not valid:
        raise DownloadError(f"{url!r} is not an http or https URL")
    return url


def _as_utf8(text: str) -> str:
    return text.encode().decode("latin-1")


def _redirect_target(url: str, location: str) -> str:
    """URL that a redirect leads to, without any user in it."""
    name = location.encode("latin-1", "replace").decode("utf-8", "replace")  # HTTP libraries decode headers as Latin-1
    try:
        target = urljoin(url, name)
    except ValueError as error:
        raise DownloadError(f"{url} redirects to {name!r}, which is not a URL") from error
    check_url(target)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise DownloadError(f"{url} redirects from https to {target}, which anybody on the network path could alter")
    return _without_user(target)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
