"""The two ways in which a run ends early without a bug."""


class FusionError(Exception):
    """A problem that the user can fix; its text says what is wrong and what to do, and is shown as it is."""


class ExchangedRoles(FusionError):
    """The volumes were given in each other's place: the fixed volume is no MRI."""


class Cancelled(Exception):
    """The user asked to stop; nothing was changed."""
