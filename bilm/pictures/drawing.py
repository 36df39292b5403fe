"""Figures of matplotlib: fonts for Chinese, colours, and files that are written whole."""

import io
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, List

from bilm.errors import InputError
from bilm.files import PathLike, write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_log = logging.getLogger("bilm")

ENDINGS = (".png", ".svg", ".pdf")
# Okabe and Ito's colours, which colour-blind people can distinguish, without their yellow, which
# is faint on white; https://jfly.uni-koeln.de/color
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")
# in order of preference; of a file with several fonts old versions of matplotlib know only the
# first, "Noto Sans CJK JP", which also has all Chinese characters
CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "STHeiti", "SimHei", "SimSun", "Noto Sans CJK JP",
    "Noto Sans CJK TC", "Noto Sans CJK KR", "Noto Sans CJK HK", "Source Han Sans",
    "Droid Sans Fallback", "AR PL UMing CN", "AR PL UKai CN", "Arial Unicode MS",
)
LATIN_FONT = "DejaVu Sans"  # matplotlib brings it along


class Fonts:
    """The fonts of a picture.

    Attributes:
        families: Their names; a character is taken from the first font that has it.
    """

    def __init__(self):
        self.families: List[str] = [LATIN_FONT, *_installed_chinese_font()]
        self._fonts = [_load(name) for name in self.families]
        self._is_warned = False

    def can_write(self, text: str) -> bool:
        """Return whether the fonts have every character of `text`."""
        return all(self._has(character) for character in text)

    def to_writable(self, text: str) -> str:
        r"""Return `text` for a picture, with \uXXXX and a warning for characters that no font has.

        Dollar signs are escaped, as matplotlib takes text between them for a formula.
        """
        if not self.can_write(text):
            self.warn_once()
        written = "".join(
            character if self._has(character)
            else character.encode("ascii", "backslashreplace").decode("ascii")
            for character in text
        )
        return written.replace("$", r"\$")

    def warn_once(self) -> None:
        """Warn that fonts are missing, unless that has been done before."""
        if not self._is_warned:
            self._is_warned = True
            _log.warning(
                "no installed font has all characters of this picture, so some text is left out or "
                "spelt in ASCII; for Chinese install Noto Sans CJK (Debian: fonts-noto-cjk)"
            )

    def _has(self, character):
        # no font has control characters; a line break would break the layout
        return character.isprintable() and any(
            font.get_char_index(ord(character)) for font in self._fonts
        )


def _installed_chinese_font() -> List[str]:
    """Return a list of the best installed Chinese font, empty if there is none."""
    from matplotlib import font_manager

    for names in (_known_fonts, _fonts_installed_since):
        installed = names(font_manager)
        best = next((name for name in CHINESE_FONTS if name in installed), None)
        if best:
            return [best]
    return []


def _known_fonts(font_manager):
    return {entry.name for entry in font_manager.fontManager.ttflist}


def _fonts_installed_since(font_manager):
    """Return the fonts installed now; matplotlib's list is as old as its first use."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            try:
                font_manager.fontManager.addfont(path)
            except (OSError, RuntimeError):
                pass  # matplotlib cannot read this font
    return _known_fonts(font_manager)


def _load(name):
    from matplotlib import font_manager

    path = font_manager.findfont(font_manager.FontProperties(family=[name]))
    return font_manager.get_font(path)


@contextmanager
def drawing() -> Iterator[Fonts]:
    """Yield the fonts for figures that are created and written in this block.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise InputError(
            "matplotlib is not installed: install this package with its extra [plot]"
        ) from None
    fonts = Fonts()
    settings = {
        "font.family": fonts.families,
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.alpha": 0.3,
        "lines.linewidth": 1.4,
        "lines.markersize": 5,
        "legend.frameon": False,
        "figure.constrained_layout.w_pad": 0.1,
        "figure.constrained_layout.h_pad": 0.08,
        "svg.fonttype": "path",  # looks the same where the font is not installed
    }
    with matplotlib.rc_context(settings):
        yield fonts


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches, for use in a `drawing` block."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def check_ending(output: PathLike) -> None:
    """Raise an InputError if the name of a file does not end in one of ENDINGS."""
    if Path(output).suffix.lower() not in ENDINGS:
        raise InputError(f"{output}: a picture's name must end in {', '.join(ENDINGS)}")


def write_figure(figure: "Figure", output: PathLike) -> None:
    """Write a figure, whole or not at all, in the format of the ending of `output`.

    Raises:
        InputError: The ending is not one of ENDINGS, or the file cannot be written.
    """
    check_ending(output)
    content = io.BytesIO()
    figure.savefig(content, format=Path(output).suffix[1:].lower(), dpi=120)
    try:
        write_bytes_atomically(output, content.getvalue())
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None
