"""Hides passwords, tokens and signatures in URLs from messages, logs and files.

They occur in user:password@ before the host and in query values such as ?token= or ?X-Amz-Signature=. Libraries quote
whole URLs in their errors.
"""

import os
import re
from urllib.parse import SplitResult, urlsplit

HIDDEN = "..."

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "WANDB_API_KEY")
"""Environment variables whose values are the user's secrets."""

MIN_TOKEN = 8
"""Characters; a shorter value of these variables is not a token, and hiding it would hide common words."""

_URL = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\x00-\x1f]+")
_END = ")]}>'\"`.,;:!"
_VALUE = re.compile(r"([?&][\w.~%\[\]-]+=)[^\s&'\"<>)]+")
_HEADER = re.compile(r"((?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?)(?:[A-Za-z]+\s+)?[^\s'\",}]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic) [A-Za-z0-9._~+/=-]{8,}")
_HUB = re.compile(r"\bhf_[A-Za-z0-9]{16,}")


def shown_url(url: str) -> str:
    """Format a URL for display: without user and password, query values and fragment."""
    parts = _parts(url)
    if parts is None:
        return f"{url.partition('://')[0]}://{HIDDEN}" if "://" in url else HIDDEN
    query = f"?{_hidden_values(parts.query)}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def has_user(url: str) -> bool:
    """Whether a URL contains a user name or password, or cannot be parsed."""
    parts = _parts(url)
    return parts is None or "@" in parts.netloc


def without_secrets(text: str) -> str:
    """Remove secrets from any text: in every URL as `shown_url` does, and tokens of the hub and of HTTP headers.

    Text without a URL or a token is returned unchanged. The time is linear in the length of the text.
    """
    for name in TOKEN_VARIABLES:
        token = os.environ.get(name, "").strip()
        if len(token) >= MIN_TOKEN:
            text = text.replace(token, HIDDEN)
    text = _URL.sub(lambda match: _shown(match[0]), text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _HUB.sub(f"hf_{HIDDEN}", text)
    return _VALUE.sub(rf"\1{HIDDEN}", text)


def _shown(match: str) -> str:
    """A URL inside a sentence, with the quotes or brackets that follow it."""
    url = match.rstrip(_END)
    mark = "?" if url.endswith("?") else ""  # of a query that was hidden before
    return shown_url(url) + mark + match[len(url) :]


def _parts(url: str) -> SplitResult | None:
    """Parts of a URL; None if its host or port cannot be distinguished from a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if the port is not a number
    except ValueError:
        return None
    return parts if parts.scheme and parts.netloc else None


def _hidden_values(query: str) -> str:
    return "&".join(_hidden_value(part) for part in query.split("&"))


def _hidden_value(part: str) -> str:
    name, sign, value = part.partition("=")
    if not sign:
        return HIDDEN if name else ""
    return f"{name}={HIDDEN}" if value else part
