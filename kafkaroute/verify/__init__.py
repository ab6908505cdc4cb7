"""The move certificate: what became of every message of a load while its channels moved."""

from .certificate import Bounds, Certificate
from .load import Load
from .run import MoveRun, verify_move

__all__ = ["Bounds", "Certificate", "Load", "MoveRun", "verify_move"]
