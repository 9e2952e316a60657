"""Every error that samekind raises on purpose.

    SamekindError
    ├── InputError (ValueError)              an argument, an image or a data set is not what was expected
    │   ├── ImageError                       one image cannot be read
    │   ├── UncertifiableError               too few classes to prove the error rate asked for
    │   └── EnrolmentRefusedError            the guard of a gallery has concerns, and enrolment was to be strict
    ├── BundleError (ValueError)             a bundle is incomplete, damaged or of another version
    │   └── NoThresholdError                 a bundle that can score is asked to decide
    ├── GalleryError (RuntimeError)          a gallery cannot be opened, read or written, or is another model's
    ├── NotEnrolledError (KeyError)          no identity, sample or enrolment of that name or id
    ├── MissingDataError (FileNotFoundError) a file or a data set is not where it was looked for
    ├── MissingExtraError (ImportError)      an optional part is not installed; the text names the pip command
    ├── CollapseError (RuntimeError)         training went nowhere; the text says what to change
    └── ExportError (RuntimeError)           the exported graph does not decide as the network does

Each also is the built-in error that a stranger to samekind would catch. A text says what was expected, what came
and what to do, in one line.
"""

from collections.abc import Sequence
from typing import Any


class SamekindError(Exception):
    """Root of all errors that samekind raises on purpose."""


class InputError(SamekindError, ValueError):
    """An argument, an image or a data set is not what was expected."""


class ImageError(InputError):
    """One image cannot be read."""


class UncertifiableError(InputError):
    """The classes at hand cannot prove the error rate asked for.

    Args:
        text: what was expected, what came and what to do.
        smallest_fmr: what they can prove at best.
        classes_needed: how many the rate needs at least.
    """

    def __init__(self, text: str, *, smallest_fmr: float, classes_needed: int) -> None:
        super().__init__(text)
        self.smallest_fmr = smallest_fmr
        self.classes_needed = classes_needed


class EnrolmentRefusedError(InputError):
    """The guard of a gallery has concerns, and enrolment was to be strict; nothing was enrolled.

    Args:
        text: what was expected, what came and what to do.
        concerns: of the guard, each a `Concern` of `gallery.records`.
    """

    def __init__(self, text: str, *, concerns: Sequence[Any]) -> None:
        super().__init__(text)
        self.concerns = tuple(concerns)


class BundleError(SamekindError, ValueError):
    """A bundle is incomplete, damaged or of another version."""


class NoThresholdError(BundleError):
    """A bundle without a threshold can score, but not decide."""


class GalleryError(SamekindError, RuntimeError):
    """A gallery cannot be opened, read or written, or holds embeddings of another model."""


class NotEnrolledError(SamekindError, KeyError):
    """A gallery holds no identity, sample or enrolment of that name or id."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would show it in quotes


class MissingDataError(SamekindError, FileNotFoundError):
    """A file or a data set is not where it was looked for."""


class MissingExtraError(SamekindError, ImportError):
    """An optional part of samekind is not installed."""


class CollapseError(SamekindError, RuntimeError):
    """Training went nowhere: every embedding is equal, a value is not finite, or the loss is stuck."""


class ExportError(SamekindError, RuntimeError):
    """The exported graph does not decide as the trained network does."""
