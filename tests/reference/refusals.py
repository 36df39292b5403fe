"""How programs refuse bad arguments."""

import pytest

from bilm.program.running import run_main


def refusal_of(main, arguments, capsys) -> str:
    """Return what a program prints on stderr as it exits with status 2: an error."""
    with pytest.raises(SystemExit) as exit_:
        run_main(main, arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    return error
