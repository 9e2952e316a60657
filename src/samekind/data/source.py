"""From what a person writes for DATA to the data.

Knows the names of the data sets. Knows nothing of what is done with them.
"""

from pathlib import Path

from samekind.data import omniglot
from samekind.data.folder import Loaded, load_csv, load_folder
from samekind.data.glyphs import glyphs
from samekind.errors import InputError, MissingDataError

NAMES = (*(f"omniglot:{part}" for part in omniglot.PARTS), "glyphs")
"""The data sets known by name; anything else is a folder or a CSV."""


def load(source: str, *, data_dir: Path | None = None, on_bad_image: str = "skip") -> Loaded:
    """Load a data set by its name or path.

    Args:
        source: one of NAMES, a folder with one sub-folder a class, or a CSV with the columns path,label[,group]. A
            folder called as a data set is reached by "./glyphs".
        data_dir: where Omniglot lies; see `omniglot.load`.
        on_bad_image: "skip" or "error", for the images of a folder or a CSV; see `load_folder`.
    Returns:
        The data, and the images that were left out.
    Raises:
        InputError: the data are not what was expected.
        MissingDataError: there is no such data set, folder or file.
    """
    if on_bad_image not in ("skip", "error"):
        raise InputError(f"expected 'skip' or 'error' for bad images, got {on_bad_image!r}")
    if source == "glyphs":
        return Loaded(glyphs())
    if source in NAMES:
        return Loaded(omniglot.load(source.removeprefix("omniglot:"), data_dir=data_dir))
    path = Path(source)
    if path.is_dir():
        return load_folder(path, on_bad_image=on_bad_image)
    if path.exists() and path.suffix.lower() != ".csv":
        raise InputError(f"{source}: expected a folder with one sub-folder a class or a file named .csv")
    if path.exists():
        return load_csv(path, on_bad_image=on_bad_image)
    raise MissingDataError(f"{source}: no such data; expected {', '.join(NAMES)}, a folder of classes or a CSV")
