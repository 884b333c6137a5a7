"""Lengths that a file gives in meters or micrometers, or in other units than it says."""

from BSAFusionLib.pipeline.lengths import UNIT_NAMES, likely_unit


def length_unit(longest: float, stated: float, name: str) -> tuple[float, tuple[str, ...]]:
    """Return the length in mm of a file's unit, and a remark where it is not the mm that a user expects.

    The unit in the header counts unless no scan of a head can be so long, or so short, but would be in another unit.

    Args:
        longest: The longest side of the volume, in the file's unit.
        stated: The length in mm of the unit that the file says; 1 where it says none.
        name: Of the file.
    """
    taken = likely_unit(longest, stated)
    if taken != stated:
        return taken, (
            f"The longest side of {name} is {longest * stated:.3g} mm by its header; its lengths were taken for "
            f"{UNIT_NAMES[taken]} ({longest * taken:.3g} mm). Correct the header if they are not.",
        )
    if taken != 1:
        return taken, (f"The lengths in {name} are in {UNIT_NAMES[taken]}; they were converted to mm.",)
    return taken, ()
