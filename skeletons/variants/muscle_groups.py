"""Muscles of MyoFullBody and MyoBimanualArm by their action, named without side.

Muscles of the leg are those of Rajagopal et al. 2016 (IEEE Trans Biomed Eng 63), of the trunk those of Christophy et
al. 2012 (Biomech Model Mechanobiol 11), of the arm those of Saul et al. 2015 (Comput Methods Biomech Biomed Engin 18).
Actions of the hip are the primary ones of Neumann 2010 (J Orthop Sports Phys Ther 40, 82-94), the others those of
Gray's Anatomy. A muscle may be in several groups. The lumbar fascicles of psoas end at the pelvis in this model and do
not move the hip.
"""

_QUADRICEPS = ("recfem", "vasint", "vaslat", "vasmed")
_HAMSTRINGS = ("bflh", "bfsh", "semimem", "semiten")
_GLMAX = ("glmax1", "glmax2", "glmax3")
_GLMED_MIN = ("glmed1", "glmed2", "glmed3", "glmin1", "glmin2", "glmin3")
_TRICEPS_SURAE = ("soleus", "gaslat", "gasmed")
_ERECTOR_SPINAE = ("IL_*", "LTpT_*", "LTpL_*")
_ABDOMINALS = ("rect_abd", "EO*", "IO*")

MUSCLE_GROUPS: dict[str, tuple[str, ...]] = {
    "ankle_plantarflexors": (*_TRICEPS_SURAE, "tibpost", "perlong", "perbrev", "fdl", "fhl"),
    "triceps_surae": _TRICEPS_SURAE,
    "ankle_dorsiflexors": ("tibant", "edl", "ehl"),
    "ankle_evertors": ("perlong", "perbrev"),
    "ankle_invertors": ("tibpost", "tibant"),
    "knee_extensors": _QUADRICEPS,
    "knee_flexors": (*_HAMSTRINGS, "gaslat", "gasmed", "grac", "sart"),
    "hamstrings": _HAMSTRINGS,
    "hip_flexors": ("iliacus", "psoas", "recfem", "sart", "tfl", "addlong"),
    "hip_extensors": (*_GLMAX, "bflh", "semimem", "semiten", "addmagIsch"),
    "hip_abductors": (*_GLMED_MIN, "tfl"),
    "hip_adductors": ("addbrev", "addlong", "addmag*", "grac"),
    "gluteals": (*_GLMAX, *_GLMED_MIN),
    "erector_spinae": _ERECTOR_SPINAE,
    "multifidus": ("MF_*",),
    "quadratus_lumborum": ("QL_*",),
    "lumbar_psoas": ("Ps_*",),
    "trunk_extensors": (*_ERECTOR_SPINAE, "MF_*", "QL_*"),
    "abdominals": _ABDOMINALS,
    "trunk": (*_ERECTOR_SPINAE, "MF_*", "QL_*", *_ABDOMINALS),
    "deltoid": ("DELT*",),
    "rotator_cuff": ("SUPSP", "INFSP", "SUBSC", "TMIN"),
    "elbow_flexors": ("BIClong", "BICshort", "BRA", "BRD"),
    "elbow_extensors": ("TRIlong", "TRIlat", "TRImed", "ANC"),
    "wrist_flexors": ("FCR", "FCU", "PL"),
    "wrist_extensors": ("ECRL", "ECRB", "ECU"),
    "finger_flexors": ("FDS*", "FDP*", "FPL"),
    "finger_extensors": ("EDC*", "EDM", "EIP", "EPL", "EPB"),
}
"""Members of each group: muscles without the suffix of their side; an asterisk stands for any characters."""
