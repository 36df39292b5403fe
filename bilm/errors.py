"""The error that means: the input is at fault, not the program."""


class InputError(ValueError):
    """Bad input, told in one line: what was expected, what was found, where, what to do next.

    The command-line programs print its text and exit with status 2; library users catch
    it as a `ValueError`. Line ends within the text, such as those of a name in a damaged file,
    become spaces.

    Args:
        message: Without a full stop at its end.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).splitlines()))
