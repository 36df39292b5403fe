"""Runs the HTTP server of a tagger."""

import logging
import signal
import socket
from typing import TYPE_CHECKING

from bilm.errors import InputError
from bilm.files import PathLike
from lac.serving.address import BACKLOG
from lac.serving.answers import Answers
from lac.serving.limits import Limits

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

_log = logging.getLogger("lac")

_GRACE_SECONDS = 10  # for requests that are under way when a signal to stop comes


def new_server(app: "ASGIApp", limits: Limits) -> "uvicorn.Server":
    """Return a server for an application of `lac.serving.app`."""
    import uvicorn

    from lac.serving.protocol import impatient_protocol

    return uvicorn.Server(uvicorn.Config(
        app, http=impatient_protocol(limits), ws="none", log_level="warning", server_header=False,
        backlog=BACKLOG, timeout_graceful_shutdown=_GRACE_SECONDS,
    ))


def serve(
    model: PathLike, listener: socket.socket, use_gpu: bool = False, threads: int = 0
) -> None:
    """Answer requests until SIGINT or SIGTERM; requests under way are then still answered.

    Args:
        model: The tagger, see `lac.LAC`.
        listener: See `lac.serving.address.listen`.
        use_gpu: Whether to compute on a GPU.
        threads: CPU threads; 0: all cores.

    Raises:
        InputError: See `lac.LAC`; or the packages of the extra `serve` are not installed.
    """
    try:
        from lac.serving.app import create_app
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed: install this package with its extra [serve]"
        ) from None
    limits = Limits()
    app = create_app(Answers(model, use_gpu, threads), limits)
    server = new_server(app, limits)
    # uvicorn raises the signal again after its shutdown, which would end the program with an error
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
        for number in signals
    ]
    try:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _log.info(f"serving {model} at http://{shown}:{port} (Ctrl-C stops)")
        server.run(sockets=[listener])
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
