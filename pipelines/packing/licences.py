"""Which licences allow clips made from a motion to be passed on."""

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
"""Licences, by SPDX's names, under which adapted material may be passed on, and their texts. Those without derivatives
(CC-*-ND) are not among them: a clip is an adaptation of its motion."""

UNKNOWN = "unknown"
_BY_NAME = {name.casefold(): name for name in OPEN}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Terms of one clip.

    Attributes:
        licence: SPDX's name where it is one of `OPEN`, else what the clip says, or "unknown".
        stated: Whether the person who packs said so; else the clip does.
        objection: Why it may not be passed on, or empty.
    """

    licence: str
    stated: bool
    objection: str


def parse_statements(texts: Sequence[str]) -> dict[str, str]:
    """Globs of sources and the licence that each is said to be under, from GLOB=LICENCE.

    Raises:
        SettingsError: A text has no `=`, or its licence does not allow to pass clips on.
    """
    stated = {}
    for text in texts:
        glob, sign, name = text.rpartition("=")
        if not sign or not glob:
            raise SettingsError(f"a licence is stated as GLOB=LICENCE, such as 'walks/*=CC-BY-4.0', not {text!r}")
        if name.casefold() not in _BY_NAME:
            raise SettingsError(f"{name!r} is no licence known to allow passing clips on; those are: {', '.join(OPEN)}")
        stated[glob] = _BY_NAME[name.casefold()]
    return stated


def terms_of(licence: str, source: str, *, stated: Mapping[str, str]) -> Terms:
    """Terms of a clip; a statement fills in what the clip does not know, and overrules nothing.

    Args:
        licence: As the clip has it.
        source: POSIX path of its source.
        stated: From `parse_statements`; the last glob that matches counts.
    """
    own = licence.strip()
    said = [name for glob, name in stated.items() if fnmatchcase(source, glob)]
    if own.casefold() in _BY_NAME:
        return Terms(licence=_BY_NAME[own.casefold()], stated=False, objection="")
    if own.casefold() not in ("", UNKNOWN):
        return Terms(licence=own, stated=False, objection=f"its licence is not known to allow it: {own}")
    if said:
        return Terms(licence=said[-1], stated=True, objection="")
    data_set = motion_key(source)[0]
    if data_set in DATA_SETS:
        objection = f"its licence is unknown, and it looks like {data_set} of AMASS, whose licence forbids it"
        return Terms(licence=UNKNOWN, stated=False, objection=objection)
    return Terms(licence=UNKNOWN, stated=False, objection="its licence is unknown")
