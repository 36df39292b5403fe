"""Public names of a package that are imported when they are first used."""

from importlib import import_module
from typing import Callable, Dict, List, Tuple


def lazy_names(
    package: str, home_of: Dict[str, str]
) -> Tuple[Callable[[str], object], Callable[[], List[str]]]:
    """Return `__getattr__` and `__dir__` for a package whose public names are imported lazily.

    Args:
        package: Name of the package.
        home_of: The module of each public name.
    """

    def get(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(home_of[name]), name)
        except ModuleNotFoundError as error:
            if error.name != "paddle":
                raise
            raise ModuleNotFoundError(
                f"{package}.{name} needs PaddlePaddle: install this package with its extra [cpu] "
                "or [gpu]",
                name="paddle",
            ) from None

    def list_names() -> List[str]:
        return sorted([*vars(import_module(package)), *home_of])

    return get, list_names
