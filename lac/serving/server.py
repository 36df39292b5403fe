"""`lac serve`: a tagger over HTTP, with a page to see it work."""

import signal
import socket

from bilm.errors import InputError

_BACKLOG = 512  # connections that wait to be taken
_GRACE_SECONDS = 10  # for requests that are under way when a signal to stop comes


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    Raises:
        InputError: It cannot be had.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port must be from 0 to 65535, not {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose others with "
            "--host and --port"
        ) from None
    return listener


def new_server(app, limits):
    """Return a `uvicorn.Server` for an application of `lac.serving.app`.

    Args:
        app: The application.
        limits: A `lac.serving.limits.Limits`.
    """
    import uvicorn

    from lac.serving.protocol import impatient_protocol

    return uvicorn.Server(uvicorn.Config(
        app, http=impatient_protocol(limits), ws="none", log_level="warning", server_header=False,
        backlog=_BACKLOG, timeout_graceful_shutdown=_GRACE_SECONDS,
    ))


def serve(model, listener: socket.socket, use_gpu: bool = False, threads: int = 0) -> None:
    """Answer requests until SIGINT or SIGTERM; what is under way then is answered still.

    Args:
        model: As `lac.LAC` takes it.
        listener: What `listen` returned.
        use_gpu: Whether to compute on a GPU.
        threads: CPU threads; 0: all cores.

    Raises:
        InputError: As `lac.LAC`, or the packages of the extra `serve` are not installed.
    """
    try:
        from lac.serving.app import create_app
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed: install this package with its extra [serve]"
        ) from None
    from lac.serving.answers import Answers
    from lac.serving.limits import Limits

    limits = Limits()
    app = create_app(Answers(model, use_gpu, threads), limits)
    server = new_server(app, limits)
    # uvicorn raises a signal anew when it has shut down; the program is to end well then
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
        for number in signals
    ]
    try:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"serving {model} at http://{shown}:{port} (Ctrl-C stops)", flush=True)
        server.run(sockets=[listener])
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
