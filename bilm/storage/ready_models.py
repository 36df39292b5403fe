"""Models that come with the package, by name: `--model sample`.

In a checkout they stand in data/models/; an installed package holds them as bilm/models/ and
lac/models/.
"""

from pathlib import Path
from typing import Dict

from bilm.errors import suggestion
from bilm.files import PathLike

_TOP = Path(__file__).resolve().parents[2]


def ready_models(package: str) -> Dict[str, Path]:
    """Return the folders of the models that come with the package "bilm" or "lac", by name."""
    for folder in (_TOP / package / "models", _TOP / "data" / "models" / package):
        if folder.is_dir():
            return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    return {}


def hint_at_ready_models(path: PathLike, package: str) -> str:
    """Return the end of the message that there is no model at `path`: names that may be meant."""
    names = ready_models(package)
    if Path(path).exists() or not names:
        return ""
    guess = suggestion(str(path), names)
    return f"{guess}; models that come with the package: {', '.join(names)}"


def resolve_model(path: PathLike, package: str) -> Path:
    """Return `path`; where nothing is there and it is the name of a ready model, that one's folder.

    Args:
        path: A path or a name. What is there wins over a model of the same name.
        package: "bilm" or "lac".
    """
    path = Path(path)
    if path.exists() or len(path.parts) != 1:
        return path
    return ready_models(package).get(path.name, path)
