"""Colours of muscle activation: from pale lavender to dark red, evenly darker, also for red-green blind readers."""

import numpy as np

ACTIVATION_STOPS = (
    (0.000, "#d4b9da"), (0.180, "#c994c7"), (0.314, "#df65b0"), (0.446, "#e7298a"), (0.579, "#ce1256"),
    (0.794, "#980043"), (1.000, "#67001f"),
)  # fmt: skip
"""Activation and sRGB colour.

The colours are classes 3 to 9 of "PuRd" (C. Brewer and M. Harrower, ColorBrewer.org, 2003), which lists it as safe for
colour-blind readers. Its two palest classes would vanish before pale bones. The stops are at the activations at which
the lightness (CIE 1976 L*) of the scale falls linearly.
"""

_PLACES = np.array([place for place, _ in ACTIVATION_STOPS])
_RGB = np.array([[int(text[k : k + 2], 16) / 255.0 for k in (1, 3, 5)] for _, text in ACTIVATION_STOPS])

REST_RGB, FULL_RGB = tuple(_RGB[0].tolist()), tuple(_RGB[-1].tolist())
"""Colours of activation 0 and 1, from 0 to 1."""


def activation_rgb(activation: np.ndarray) -> np.ndarray:
    """Colours of activations of any shape, clamped to 0 to 1; sRGB from 0 to 1, shape (..., 3)."""
    return np.stack([np.interp(activation, _PLACES, band) for band in _RGB.T], axis=-1)
