"""Licences that allow redistribution of clips made from a motion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from musclemap.datasets.groups import DATA_SETS, motion_key
from musclemap.errors import SettingsError

OPEN = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "BSD-3-Clause": "https://opensource.org/license/bsd-3-clause",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-NC-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "CC-BY-NC-SA-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "MIT": "https://opensource.org/license/mit",
    "ODC-By-1.0": "https://opendatacommons.org/licenses/by/1-0/",
    "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
    "PDDL-1.0": "https://opendatacommons.org/licenses/pddl/1-0/",
}
"""Licences that allow redistribution of adapted material, by SPDX identifier, with the address of their text. Licences
that forbid derivatives (CC-*-ND) are not included: a clip is an adaptation of its motion."""

UNKNOWN = "unknown"
_BY_NAME = {name.casefold(): name for name in OPEN}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Licence terms of one clip.

    Attributes:
        licence: SPDX identifier if it is one of `OPEN`, otherwise the clip's recorded text, or "unknown".
        stated: Whether the user stated the licence; otherwise it is from the clip.
        objection: Why the clip must not be redistributed, or an empty string.
    """

    licence: str
    stated: bool
    objection: str


def parse_statements(texts: Sequence[str]) -> dict[str, str]:
    """Parse statements GLOB=LICENCE into licences by glob of sources.

    Raises:
        SettingsError: If a statement has no `=` or its licence does not allow redistribution.
    """
    stated = {}
    for text in texts:
        glob, sign, name = text.rpartition("=")
        if not sign or not glob:
            raise SettingsError(f"state a licence as GLOB=LICENCE, such as 'walks/*=CC-BY-4.0', not {text!r}")
        if name.casefold() not in _BY_NAME:
            raise SettingsError(
                f"{name!r} is not among the licences that allow redistribution of clips: {', '.join(OPEN)}"
            )
        stated[glob] = _BY_NAME[name.casefold()]
    return stated


def terms_of(licence: str, source: str, *, stated: Mapping[str, str]) -> Terms:
    """Licence terms of a clip. A statement applies only if the clip has no licence; it never overrides one.

    Args:
        licence: Licence recorded in the clip.
        source: POSIX path of the clip's source.
        stated: From `parse_statements`; the last matching glob applies.
    """
    recorded = licence.strip()
    statements = [name for glob, name in stated.items() if fnmatchcase(source, glob)]
    if recorded.casefold() in _BY_NAME:
        return Terms(licence=_BY_NAME[recorded.casefold()], stated=False, objection="")
    if recorded.casefold() not in ("", UNKNOWN):
        return Terms(
            licence=recorded, stated=False, objection=f"its licence is not known to allow redistribution: {recorded}"
        )
    if statements:
        return Terms(licence=statements[-1], stated=True, objection="")
    data_set = motion_key(source)[0]
    if data_set in DATA_SETS:
        objection = f"its licence is unknown, and it appears to be {data_set} of AMASS, which forbids redistribution"
        return Terms(licence=UNKNOWN, stated=False, objection=objection)
    return Terms(licence=UNKNOWN, stated=False, objection="its licence is unknown")
