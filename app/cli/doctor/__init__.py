"""``python -m app doctor``: what may be wrong with this installation, and how to mend it."""

from app.cli.doctor.command import doctor

__all__ = ["doctor"]
