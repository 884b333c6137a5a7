"""Tell from the size of a volume whether its lengths can be in mm."""

SHORTEST_MM, LONGEST_MM = 5.0, 5000.0  # that the longest side of a scan of a head can be
UNIT_NAMES = {1e3: "meters", 1.0: "mm", 1e-3: "micrometers", 10.0: "centimeters"}


def likely_unit(longest: float, stated: float = 1.0) -> float:
    """Return the length in mm of the unit that a volume's lengths are in: the stated one, unless only another fits.

    Args:
        longest: The longest side of the volume, in that unit.
        stated: The length in mm of the unit that is stated.
    """
    if not 0 < longest < float("inf"):
        return stated
    fitting = [unit for unit in (stated, *UNIT_NAMES) if SHORTEST_MM <= longest * unit <= LONGEST_MM]
    return fitting[0] if fitting else stated
