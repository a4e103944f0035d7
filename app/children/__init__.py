"""Child processes: bounded in time and output, and gone with all that they started when ``run`` is over."""

from app.children.bounds import Bounds
from app.children.child import GRACE, MARK, run
from app.children.printout import BLOCK, Outcome

__all__ = ["BLOCK", "GRACE", "MARK", "Bounds", "Outcome", "run"]
