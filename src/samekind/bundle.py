"""What lies on disk of a trained model, and nothing else: a folder that says all that a decision needs.

    model.onnx          the graph that decides
    model.safetensors   the same weights, to train on, and those of a learned head
    samekind.json       encoder, preprocessing, head, calibration, provenance, digests of the two files
    README.md           the model card

Knows files. Runs no model. Reads no pickle.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samekind.calibration import Calibration
from samekind.errors import BundleError, InputError, MissingDataError, SamekindError
from samekind.images import Preprocessing
from samekind.records import from_json
from samekind.similarity import SIMILARITIES, Similarity, weighted_l1

FORMAT = 4
GRAPH, WEIGHTS, MANIFEST, CARD = "model.onnx", "model.safetensors", "samekind.json", "README.md"
CARD_ROWS = ("| threshold |", "| probabilities |", "| certified |")
"""How the rows of the model card begin that tell of the calibration."""
MEASURED = ("<!-- measured -->", "<!-- end of measured -->")
"""Between which lines of the model card it stands what was measured with that calibration."""
SHIPPED = Path(__file__).parent / "bundles"
"""Folder of the bundles that come with the package."""


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from.

    Args:
        version: of samekind.
        command: that trained it.
        data: name of the data set.
        data_fingerprint: of the data set, held-out classes included.
        classes: trained on.
        held_out_classes: names of those kept for the threshold, which training never saw.
        images: different images trained on.
        loss: by name.
        steps: of the optimiser.
        images_seen: batch size times steps.
        seconds: of training.
        device: that it was trained on.
        seed: of everything random.
    """

    version: str
    command: str
    data: str
    data_fingerprint: str
    classes: int
    held_out_classes: tuple[str, ...]
    images: int
    loss: str
    steps: int
    images_seen: int
    seconds: float
    device: str
    seed: int


@dataclass(frozen=True)
class Manifest:
    """The content of samekind.json.

    Args:
        format: of the bundle; FORMAT. One of format 1 is read without its calibration, for `samekind calibrate` to set;
            one of format 1 or 2 embeds a single view; one of format 1 to 3 looks at whole images.
        encoder: by name.
        views: of an image that the encoder looks at, see `samekind.views`.
        dim: embedding size D, of all views together.
        head: "euclidean", "cosine" or "weighted-l1".
        preprocessing: from image to input.
        calibration: from score to decision, or None: then the model gives scores only.
        provenance: where it comes from.
        digests: SHA-256 of the graph and of the weights, by file name.
    """

    format: int
    encoder: str
    views: int
    dim: int
    head: str
    preprocessing: Preprocessing
    calibration: Calibration | None
    provenance: Provenance
    digests: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files are whole.

    Args:
        path: the folder.
        manifest: what samekind.json says.
    """

    path: Path
    manifest: Manifest

    @property
    def graph(self) -> Path:
        """The ONNX graph: (B, C, H, W) float32 "image" -> (B, D) float32 "embedding"."""
        return self.path / GRAPH

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that an embedding depends on; embeddings of two fingerprints must not be compared."""
        preprocessing = asdict(self.manifest.preprocessing)
        if not self.manifest.preprocessing.frame:
            del preprocessing["frame"]  # as before there were frames: a gallery goes on with its model
        parts = {
            "graph": self.manifest.digests[GRAPH],
            "preprocessing": preprocessing,
            "head": self.manifest.head,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def similarity(self) -> Similarity:
        """How this model's embeddings are compared."""
        name = self.manifest.head
        if name in SIMILARITIES:
            return SIMILARITIES[name]
        from safetensors.numpy import load_file

        try:
            weights = load_file(self.path / WEIGHTS)
            weight, bias = weights["head.weight"], weights["head.bias"]
        except Exception as error:
            raise BundleError(f"{self.path / WEIGHTS}: no weights of a {name} head ({error}); train again") from None
        if weight.shape != (self.manifest.dim,) or bias.shape != ():
            raise BundleError(
                f"{self.path / WEIGHTS}: expected a {name} head of ({self.manifest.dim},) weights and a bias, "
                f"got {weight.shape} and {bias.shape}"
            )
        return weighted_l1(weight.astype(np.float32), float(bias))


def load_bundle(name: str | os.PathLike[str]) -> Bundle:
    """Open a bundle and check that it is whole.

    Args:
        name: of a bundle that comes with the package, or a folder.
    Raises:
        MissingDataError: there is no such bundle.
        BundleError: a file is missing or damaged, or samekind.json has an unknown, missing or wrong key.
    """
    path = SHIPPED / name if str(name) in shipped() else Path(name)
    if not path.is_dir():
        what = "a file" if path.is_file() else "no such bundle"
        known = ", ".join(shipped()) or "none"
        raise MissingDataError(f"{path}: {what}; expected a bundle folder, or the name of a shipped one ({known})")
    manifest = _read_manifest(path / MANIFEST)
    for file in (GRAPH, WEIGHTS):
        try:
            found = digest(path / file)
        except OSError as error:
            raise BundleError(f"{path / file}: cannot be read ({error.strerror}); the bundle is incomplete") from None
        if found != manifest.digests[file]:
            raise BundleError(f"{path / file}: damaged or exchanged (its digest is not the one in {MANIFEST})")
    return Bundle(path, manifest)


def shipped() -> tuple[str, ...]:
    """Names of the bundles that come with the package."""
    return tuple(sorted(p.parent.name for p in SHIPPED.glob(f"*/{MANIFEST}")))


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write samekind.json into a folder that `replacing` made."""
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
    # the name of a class may hold bytes that are no text; a backslash and their code is JSON for them
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def save_weights(folder: Path, weights: dict[str, NDArray[np.generic]]) -> None:
    """Write model.safetensors into a folder that `replacing` made."""
    from safetensors.numpy import save

    (folder / WEIGHTS).write_bytes(save(weights))  # its own writer hides the file from others, and its errors from us


def save_calibrated(bundle: Bundle, path: Path, calibration: Calibration) -> Bundle:
    """Write a bundle anew with another calibration; graph and weights stay the same bytes.

    Args:
        bundle: whose folder may be the very one to write.
        path: the folder; an older bundle there is replaced as the last step.
        calibration: in place of the bundle's own. In the model card only what tells of it changes; what was measured
            with the old one is left out.
    Returns:
        The new bundle, read back from disk.
    Raises:
        InputError: path is something else than a bundle, or cannot be written.
    """
    refuse_other(path)
    with replacing(path) as folder:
        for file in bundle.path.iterdir():
            if file.name in (GRAPH, WEIGHTS, CARD):
                shutil.copyfile(file, folder / file.name)
        if (card := folder / CARD).is_file():
            lines = without_measured(card.read_text(encoding="utf-8")).splitlines()
            kept = [line for line in lines if not line.startswith(CARD_ROWS)]
            end = max((i for i, line in enumerate(kept, 1) if line.startswith("| ")), default=len(kept))
            kept[end:end] = calibration_rows(calibration)
            card.write_text("\n".join(kept) + "\n", encoding="utf-8")
        save_manifest(folder, replace(bundle.manifest, calibration=calibration))
        load_bundle(folder)
    return load_bundle(path)


def without_measured(card: str) -> str:
    """The text of a model card but for what was measured; any other text stays."""
    begin, end = MEASURED
    before, found, rest = card.partition(begin)
    return before.rstrip() + "\n" + rest.partition(end)[2] if found else card


def calibration_rows(calibration: Calibration) -> list[str]:
    """What a model card says of a calibration: rows of its table, each beginning with one of CARD_ROWS."""
    c = calibration
    threshold, probabilities, certified = CARD_ROWS
    return [
        f"{threshold} {c.threshold:.4f}, from {c.pairs} pairs of {c.classes} held-out classes of {c.data} |",
        f"{probabilities} at a prior of {c.prior:g}, odds up to {math.exp(c.bound):.0f} to 1 |",
        *(
            f"{certified} {x.promise} with {x.confidence:.0%} confidence, references: {x.references}, "
            f"threshold {x.threshold:.4f}, from {x.classes} classes |"
            for x in c.certificates
        ),
    ]


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refuse_other(path: Path) -> None:
    """Raise InputError where a bundle would replace something that is none, or where its folder has no name."""
    if path.name in ("", ".."):
        raise InputError(f"{path}: expected the name of a folder, to be replaced as a whole; choose another --out")
    if path.exists() and not (path / MANIFEST).is_file():
        raise InputError(f"{path}: exists and is no bundle; choose another --out")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new folder `.<name>.part` beside `path` that takes its name when all went well, and vanishes when not.

    What a killed process left of an earlier one is removed first.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    staged, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if staged.exists():
            shutil.rmtree(staged)
        staged.mkdir()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
    try:
        staged.chmod(0o755)
        yield staged
        if path.exists():  # a folder cannot be exchanged in one step: keep the old one until the new one is there
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
            try:
                staged.rename(path)
            except OSError:
                old.rename(path)
                raise
        else:
            staged.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except SamekindError:  # one of them is an OSError too, and says more
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _read_manifest(path: Path) -> Manifest:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file; expected a bundle, made by `samekind train`") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not readable as JSON ({error})") from None
    if isinstance(content, dict) and content.get("format") == 1:  # its calibration had neither interval nor domain
        content = {**content, "format": 2, "calibration": None}
    if isinstance(content, dict) and content.get("format") == 2:
        content = {**content, "format": 3, "views": 1}
    if isinstance(content, dict) and content.get("format") == 3 and isinstance(content.get("preprocessing"), dict):
        content = {**content, "format": FORMAT, "preprocessing": {**content["preprocessing"], "frame": 0.0}}
    if isinstance(content, dict) and isinstance(content.get("calibration"), dict):  # older ones had no map for searches
        content = {**content, "calibration": {"search": None, **content["calibration"]}}
    if isinstance(content, dict) and content.get("format") != FORMAT:
        raise BundleError(f"{path}: expected format {FORMAT}, got {content.get('format')!r}; use a fitting samekind")
    try:
        manifest = from_json(Manifest, content, str(path))
    except InputError as error:
        raise BundleError(str(error)) from None
    if missing := {GRAPH, WEIGHTS} - set(manifest.digests):
        raise BundleError(f"{path}: no digest of {', '.join(sorted(missing))}")
    if manifest.head not in (*SIMILARITIES, "weighted-l1"):
        raise BundleError(f"{path}: unknown head {manifest.head!r}; use a newer samekind")
    return manifest
