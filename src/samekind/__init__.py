"""One-shot image verification: are these two images of the same kind of thing?

Everything public can be imported from here. A module is imported when something of it is first asked for, so that
`import samekind` costs nothing, and only what needs torch imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from samekind.errors import MissingExtraError
from samekind.version import __version__

if TYPE_CHECKING:
    from samekind.building import build_bundle, choose_recipe
    from samekind.bundle import load_bundle
    from samekind.data.glyphs import glyphs
    from samekind.data.labelled import LabelledImages
    from samekind.data.source import load
    from samekind.data.splits import find_leaks, split_classes
    from samekind.encoders import KochEncoder, ResidualEncoder, SmallEncoder
    from samekind.errors import SamekindError
    from samekind.gallery.gallery import Gallery
    from samekind.images import Preprocessing
    from samekind.losses import ContrastiveLoss
    from samekind.protocols import run
    from samekind.recipes import Budget, Recipe
    from samekind.report import write_report
    from samekind.siamese import SiameseNetwork
    from samekind.training import train
    from samekind.verifier import Decision, Verifier

_MODULES = {
    "Budget": "recipes",
    "ContrastiveLoss": "losses",
    "Decision": "verifier",
    "Gallery": "gallery.gallery",
    "KochEncoder": "encoders",
    "LabelledImages": "data.labelled",
    "Preprocessing": "images",
    "Recipe": "recipes",
    "ResidualEncoder": "encoders",
    "SamekindError": "errors",
    "SiameseNetwork": "siamese",
    "SmallEncoder": "encoders",
    "Verifier": "verifier",
    "build_bundle": "building",
    "choose_recipe": "building",
    "find_leaks": "data.splits",
    "glyphs": "data.glyphs",
    "load": "data.source",
    "load_bundle": "bundle",
    "run": "protocols",
    "split_classes": "data.splits",
    "train": "training",
    "write_report": "report",
}

__all__ = [
    "Budget",
    "ContrastiveLoss",
    "Decision",
    "Gallery",
    "KochEncoder",
    "LabelledImages",
    "Preprocessing",
    "Recipe",
    "ResidualEncoder",
    "SamekindError",
    "SiameseNetwork",
    "SmallEncoder",
    "Verifier",
    "__version__",
    "build_bundle",
    "choose_recipe",
    "find_leaks",
    "glyphs",
    "load",
    "load_bundle",
    "run",
    "split_classes",
    "train",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'samekind' has no attribute {name!r}")
    try:
        return getattr(import_module(f"samekind.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "samekind":
            raise
        raise MissingExtraError(f"samekind.{name} needs {error.name}: pip install 'samekind[train]'") from None


def __dir__() -> list[str]:
    return __all__
