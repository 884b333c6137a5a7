"""The two ways a run ends early that are not bugs."""


class FusionError(Exception):
    """Something the user can mend; its text is one sentence saying what is wrong and what to do, shown as it is."""


class Cancelled(Exception):
    """The user asked to stop; nothing has been changed."""
