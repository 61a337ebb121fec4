"""Constants of MyoFullBody that many tests use."""

import numpy as np

from musclemap.skeletons.bodies.myofullbody import CONTACT_NAMES, FIT, LANDMARKS

NLANDMARK, NCONTACT = len(LANDMARKS), len(CONTACT_NAMES)
ORIENTED = np.array([k for k, landmark in enumerate(LANDMARKS) if landmark.orientation is not None])
FOOT_LANDMARKS = tuple(FIT.along_foot)
CALIBRATED = FIT.calibrated
