"""Published limits within which a body counts as following a clip (MuscleMimic, arXiv 2603.25544)."""

LANDMARK_LIMIT = 0.3
"""Mean distance of the landmarks from the clip's, relative to the first landmark [m]."""

ROOT_LIMIT = 0.5
"""Distance of the first landmark from the clip's [m]."""
