"""Check for the packages that a command needs beyond the base installation."""

import importlib.util
from collections.abc import Sequence

from BSAFusionLib.errors import FusionError


def require_extra(extra: str, packages: Sequence[str]) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Args:
        extra: As `pip install 'bsafusion[extra]'` names it.
        packages: Their import names.

    Raises:
        FusionError: One is missing.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise FusionError(
            f"This command needs {', '.join(missing)}; install what is missing with: pip install 'bsafusion[{extra}]'"
        )
