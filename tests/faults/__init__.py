"""A gateway that is killed again and again while turns are under way: ``make test-faults``, not ``make test``."""
