"""Names of files of ground forces; imports nothing heavy, because wrong files are answered before that."""

from pathlib import Path

FORCE_ENDS = ("_grf", "_forces", "_ground_forces", "_ground_reaction", "_external_loads")
"""Ends of the names of files of ground forces."""

MOTION_ENDS = ("_ik", "_kinematics", "_markers")
"""Ends of the names of motions that the files beside them lack."""

TABLES, LOADS = (".mot", ".sto"), ".xml"
"""Suffixes of tables, and of ExternalLoads."""


def is_force_file(name: str) -> bool:
    """Whether a file name denotes a table of ground forces."""
    path = Path(name.casefold())
    return path.suffix in TABLES and path.stem.endswith(FORCE_ENDS)


def force_names(motion: str) -> frozenset[str]:
    """Names without suffix, in lower case, of the files of ground forces that belong to a motion without its suffix."""
    stem = motion.casefold()
    bases = {stem, *(stem.removesuffix(end) for end in MOTION_ENDS)}
    return frozenset(base + end for base in bases for end in FORCE_ENDS)
