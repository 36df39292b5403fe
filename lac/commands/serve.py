"""`lac serve`: a tagger over HTTP, with a page to see it work."""

from typing import Optional, Sequence

from bilm.hardware import prepare_device
from bilm.program.options import add_device_options
from bilm.program.parser import Parser
from lac.commands.options import add_model_option
from lac.serving.address import listen


def build_parser() -> Parser:
    """Return the parser of `lac serve`."""
    parser = Parser("lac serve", "A tagger over HTTP, with a page to see it work.", [
        "lac serve --model sample", "lac serve --model tagger --host 0.0.0.0 --port 80",
    ])
    add_model_option(parser)
    add = parser.group("address").add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on")
    add("--port", type=int, default=8000, metavar="N", help="port to listen on; 0: a free one")
    add_device_options(parser)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Serve as the command line says."""
    options = build_parser().parse_args(arguments)
    listener = listen(options.host, options.port)
    prepare_device(options.use_gpu, options.threads)  # before this import of Paddle
    from lac.serving.server import serve

    serve(options.model, listener, options.use_gpu, options.threads)
