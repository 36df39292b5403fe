"""The error that means: the input is at fault, not the program; and one line for no memory."""


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


def out_of_memory(error: MemoryError) -> str:
    """Return one line for a MemoryError; Paddle's come with a trace of its C++ functions."""
    reason = next((line for line in str(error).splitlines() if "alloc" in line), "")
    return f"out of memory: {reason.strip() or 'no more can be had'}; lower the batch or the model"
