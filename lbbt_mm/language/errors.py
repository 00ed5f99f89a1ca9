"""What the language side raises."""
from lbbt_mm.errors import UserError


class CheckpointError(UserError, ValueError):
    """A language checkpoint cannot be used; the message says what was found, expected and what to do."""


class UnreachableError(CheckpointError):
    """A file is not in the hub's cache, and the hub cannot be asked whether it exists."""
