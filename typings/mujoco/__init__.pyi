# MuJoCo's wheel brings no types for its compiled parts; without this every name in it counts as unknown.
from typing import Any

def __getattr__(name: str) -> Any: ...
