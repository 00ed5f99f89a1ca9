"""What is raised where files, data or settings are at fault, whenever that is found."""


class UserError(Exception):
    """An error of the user's making: tools end with its message as one line, also once a run has begun.

    Before a run begins every error ends so, whatever its type. What can be found only later, in training or testing, is
    raised as a subclass of this.
    """
