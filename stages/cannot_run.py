"""What a person has to mend before a run can be made or go on, said in one message.

In: nothing. Out: the error that a stage ends with in that case; whoever runs the stage prints its message alone.
"""


class CannotRunError(ValueError):
    """Parameters, files or the machine are not fit for the run; the message says what was found and what to do."""
