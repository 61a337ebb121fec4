"""MyoLegs as a body of one's own: the legs of the installed musclemimic-models below a rigid trunk, with its table."""

import shutil
from pathlib import Path

MODEL = """<mujoco model="legs">
  <include file="../leg/assets/myolegs_assets.xml"/>
  <include file="../leg/assets/myolegs_tendon.xml"/>
  <include file="../leg/assets/myolegs_muscle.xml"/>
  <compiler angle="radian" meshdir=".."/>
  <worldbody>
    <body name="root" pos="0 0 1">
      <freejoint name="root"/>
      <include file="../leg/assets/myolegs_chain.xml"/>
      <body name="trunk" pos="0 0.03 0.1">
        <geom name="trunk" type="capsule" fromto="0 0 0.1 0 0 0.5" size="0.11" mass="40"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
"""80 muscles and 14 independent joints; there is no floor, which the body gets by itself."""

TABLE = """name = "Legs"
model = "body/legs.xml"
version = "1.0.6"
trunk = ["trunk"]

[landmarks]
pelvis = "pelvis"
right_hip = "femur_r"
right_knee = "tibia_r"
right_ankle = "talus_r"
right_foot = "toes_r"
left_hip = "femur_l"
left_knee = "tibia_l"
left_ankle = "talus_l"
left_foot = "toes_l"

[feet]
left_heel = "calcn_l"
left_toe = "toes_l"
right_heel = "calcn_r"
right_toe = "toes_r"
"""


def write_legs(folder: Path, *, model: str = MODEL, table: str = TABLE) -> Path:
    """Write the model with all its files, and its table; returns the table."""
    import musclemimic_models

    root = Path(musclemimic_models.__file__).parent / "model"
    for name in ("leg", "meshes"):
        shutil.copytree(root / name, folder / name)
    (folder / "body").mkdir()
    (folder / "body" / "legs.xml").write_text(model)
    path = folder / "legs.toml"
    path.write_text(table)
    return path
