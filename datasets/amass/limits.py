"""Limits of a motion: what no measured motion exceeds. Beyond them a file is damaged, or holds other data."""

MAX_SECONDS = 4 * 3600.0
"""Longest plausible motion; a longer one means a damaged frame rate or shape."""

MAX_FRAMES = 4 * 3600 * 150
"""Frames of the longest motion at 150 Hz, the highest frame rate of the archive's releases."""

MAX_BYTES = MAX_FRAMES * 165 * 8 + 2**20
"""Largest array, as stored and as float64 [B]: `poses` of the widest layout with MAX_FRAMES frames."""

MAX_FILE_BYTES = MAX_FRAMES * (2 * 165 + 3 + 8) * 8 + 2**20
"""Largest file [B]: poses, both packed and split as newer releases store them, trans and dmpls, uncompressed. The
archive's longest files are below 100 MB. Such a file and its poses as float64 are in memory at the same time."""

FPS_RANGE = (1.0, 10_000.0)
"""Plausible frame rates [Hz]; below the lower limit no motion is visible."""

MAX_ROTATION = 1e3
MAX_TRANSLATION = 1e4
"""Largest plausible numbers [rad, m]; larger ones mean other data or other units."""

MILLIMETRES = 1000.0
"""The smallest unit of a translation, in a metre."""

MAX_BETAS = 16
"""Number of shape coefficients used; files hold more."""

MAX_BETA = 1e3
"""Largest plausible shape coefficient [standard deviations of the body model's subjects]."""

MAX_LICENCE = 200
"""Characters; enough for a licence's name or address, not for its text."""
