"""Bundles on disk: read exactly as they were written, refused where a byte or a key is not what it was."""

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from samekind.bundle import (
    CARD,
    GRAPH,
    MANIFEST,
    MEASURED,
    WEIGHTS,
    Bundle,
    calibration_rows,
    load_bundle,
    refuse_other,
    replacing,
    save_calibrated,
    save_manifest,
    save_weights,
    shipped,
)
from samekind.certification import Certificate
from samekind.errors import BundleError, InputError, MissingDataError
from samekind.similarity import cosine, euclidean


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.path, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def refuse(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_bundle_is_four_files_that_anyone_may_read(bundle: Bundle) -> None:
    assert sorted(os.listdir(bundle.path)) == sorted([GRAPH, WEIGHTS, MANIFEST, CARD])
    for file in bundle.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444
    assert stat.S_IMODE(bundle.path.stat().st_mode) == 0o755


def test_what_was_written_is_what_is_read(bundle: Bundle, copy: Path) -> None:
    assert load_bundle(copy).manifest == bundle.manifest
    assert load_bundle(str(copy)).manifest == bundle.manifest
    names = ("\\", "\u0396\u03ad\u03bd\u03b1", "no text: \udcff")
    provenance = replace(bundle.manifest.provenance, held_out_classes=names)
    for changed in (replace(bundle.manifest, calibration=None), replace(bundle.manifest, provenance=provenance)):
        save_manifest(copy, changed)
        assert load_bundle(copy).manifest == changed


def test_the_manifest_is_plain_json_without_names_of_this_machine(bundle: Bundle) -> None:
    text = (bundle.path / MANIFEST).read_text()
    content = json.loads(text)
    assert content["digests"][GRAPH] == hashlib.sha256(bundle.graph.read_bytes()).hexdigest()
    assert content["preprocessing"] == json.loads(json.dumps(asdict(bundle.manifest.preprocessing)))
    graph = bundle.graph.read_bytes()
    for place in (str(Path.home()).encode(), str(Path(__file__).parent.parent).encode(), b"site-packages", b".py"):
        assert place not in graph


MANIFEST_DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "unknown key": (lambda c: c.update(colour=1), "unknown key 'colour'"),
    "unknown key inside": (lambda c: c["preprocessing"].update(blur=1), "preprocessing: unknown key 'blur'"),
    "missing key": (lambda c: c.pop("head"), "missing key 'head'"),
    "missing key inside": (lambda c: c["calibration"].pop("slope"), "calibration: missing key 'slope'"),
    "missing key with a default": (lambda c: c["preprocessing"].pop("size"), "missing key 'size'"),
    "text for a number": (lambda c: c.update(dim="16"), "dim: expected int, got '16'"),
    "truth for a number": (lambda c: c.update(dim=True), "dim: expected int, got True"),
    "number for an object": (lambda c: c.update(provenance=3), "provenance: expected an object, got int"),
    "nothing for text": (lambda c: c.update(encoder=None), "encoder: expected str, got None"),
    "no number": (lambda c: c["provenance"].update(seconds=float("nan")), "seconds: expected float, got nan"),
    "no number inside": (lambda c: c["preprocessing"].update(mean=[float("nan")]), "mean: expected float, got nan"),
    "text in a list": (lambda c: c["preprocessing"].update(std=["1"]), "std: expected float, got '1'"),
    "value out of range": (lambda c: c["preprocessing"].update(size=2), "input size of at least 8 pixels, got 2"),
    "slope out of range": (lambda c: c["calibration"].update(slope=-1.0), "slope > 0"),
    "other format": (lambda c: c.update(format=5), "expected format 4, got 5"),
    "no format": (lambda c: c.pop("format"), "expected format 4, got None"),
    "two of a covariance": (lambda c: c["calibration"]["covariance"].pop(), "covariance of three numbers, got 2"),
    "ranges of three": (lambda c: c["calibration"]["domain"]["low"].pop(), "domain: expected 4 ranges"),
    "no certificate": (
        lambda c: c["calibration"].update(certificates=[1]),
        "certificates: expected an object, got int",
    ),
    "unknown head": (lambda c: c.update(head="dot"), "unknown head 'dot'"),
    "no digest": (lambda c: c["digests"].pop(GRAPH), "no digest of model.onnx"),
    "other digest": (lambda c: c["digests"].update({WEIGHTS: "00"}), "damaged or exchanged"),
}


@pytest.mark.parametrize("damage", MANIFEST_DAMAGE)
def test_a_manifest_that_is_not_exact_is_an_error(copy: Path, damage: str) -> None:
    change, match = MANIFEST_DAMAGE[damage]
    edit(copy, change)
    refuse(copy, match)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "\x00"])
def test_a_manifest_that_is_no_object_is_an_error(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    refuse(copy, "not readable as JSON|expected an object")


def test_a_manifest_that_is_no_text_is_an_error(copy: Path) -> None:
    (copy / MANIFEST).write_bytes(b"\xff\xfe\x00")
    refuse(copy, "not readable as JSON")


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS])
def test_a_damaged_file_is_an_error(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[:-1])
    refuse(copy, f"{name}: damaged or exchanged")
    (copy / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refuse(copy, f"{name}: damaged or exchanged")
    (copy / name).unlink()
    refuse(copy, f"{name}: cannot be read .No such file.*incomplete")
    (copy / name).mkdir()
    refuse(copy, f"{name}: cannot be read")


def test_a_missing_manifest_is_an_error(copy: Path) -> None:
    (copy / MANIFEST).unlink()
    refuse(copy, "no such file; expected a bundle")


def test_what_is_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="nowhere: no such bundle; expected a bundle folder"):
        load_bundle(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingDataError, match="file: a file; expected a bundle folder"):
        load_bundle(tmp_path / "file")


def test_every_shipped_bundle_loads_by_its_name() -> None:
    for name in shipped():
        assert load_bundle(name).path.name == name


def test_the_card_can_be_edited(copy: Path) -> None:
    (copy / CARD).write_text("my notes")
    load_bundle(copy)


def test_a_bundle_of_the_first_format_is_read_without_its_calibration(bundle: Bundle, copy: Path) -> None:
    old = {"slope": 1.0, "intercept": 0.0, "pairs": 2, "classes": 2, "data": ""}
    edit(copy, lambda c: c.update(format=1, calibration=old))
    assert load_bundle(copy).manifest == replace(bundle.manifest, calibration=None)


def test_a_bundle_of_the_second_format_embeds_one_view(bundle: Bundle, copy: Path) -> None:
    def older(content: dict[str, object]) -> None:
        del content["views"]
        content["format"] = 2

    edit(copy, older)
    assert load_bundle(copy).manifest == bundle.manifest
    assert bundle.manifest.views == 1


def test_a_bundle_of_the_third_format_looks_at_whole_images(bundle: Bundle, copy: Path) -> None:
    def older(content: dict[str, object]) -> None:
        del content["preprocessing"]["frame"]  # type: ignore[attr-defined]
        content["format"] = 3

    edit(copy, older)
    assert load_bundle(copy).manifest == bundle.manifest
    assert bundle.manifest.preprocessing.frame == 0


def test_a_calibration_from_before_searches_had_a_map_is_read_without_one(bundle: Bundle, copy: Path) -> None:
    assert bundle.manifest.calibration is not None
    assert bundle.manifest.calibration.search is not None
    edit(copy, lambda c: c["calibration"].pop("search"))
    calibration = replace(bundle.manifest.calibration, search=None)
    assert load_bundle(copy).manifest == replace(bundle.manifest, calibration=calibration)


def test_another_calibration_changes_nothing_but_what_tells_of_it(bundle: Bundle, copy: Path, tmp_path: Path) -> None:
    assert bundle.manifest.calibration is not None
    certificate = Certificate(0.75, 0.1, 0.95, 0.03, 0.09, 20, 2)
    other = replace(bundle.manifest.calibration, intercept=0.25, certificates=(certificate,))
    with (copy / CARD).open("a", encoding="utf-8") as card:
        card.write("\n".join(["", MEASURED[0], "| of the old one |", MEASURED[1], "", "my notes", ""]))
    (copy / "more").write_text("")
    for path in (tmp_path / "new", copy):
        written = save_calibrated(load_bundle(copy), path, other)
        assert written.path == path
        assert written.manifest == replace(bundle.manifest, calibration=other)
        assert written.fingerprint == bundle.fingerprint
        assert sorted(os.listdir(path)) == sorted([GRAPH, WEIGHTS, MANIFEST, CARD])
        lines = (path / CARD).read_text().splitlines()
        assert [line for line in lines if line.startswith(("| threshold", "| prob", "| certified"))] == (
            calibration_rows(other)
        )
        assert lines[-1] == "my notes"
        assert "| of the old one |" not in lines
        assert lines.index(calibration_rows(other)[0]) < lines.index("my notes") - 1
    assert "FMR <= 0.1 with 95% confidence, references: 2, threshold 0.7500, from 20 classes" in "\n".join(lines)
    with pytest.raises(InputError, match="exists and is no bundle"):
        save_calibrated(bundle, tmp_path, other)


def test_the_fingerprint_is_of_what_an_embedding_depends_on(bundle: Bundle, copy: Path) -> None:
    manifest = bundle.manifest
    assert load_bundle(copy).fingerprint == bundle.fingerprint
    same = replace(bundle, manifest=replace(manifest, calibration=None))
    assert same.fingerprint == bundle.fingerprint
    for change in (
        replace(manifest, head="euclidean"),
        replace(manifest, preprocessing=replace(manifest.preprocessing, invert=False)),
        replace(manifest, preprocessing=replace(manifest.preprocessing, frame=1.5)),
        replace(manifest, digests={**manifest.digests, GRAPH: "00"}),
    ):
        assert replace(bundle, manifest=change).fingerprint != bundle.fingerprint


def test_a_fingerprint_from_before_there_were_frames_stays(bundle: Bundle) -> None:
    preprocessing = asdict(bundle.manifest.preprocessing)
    assert preprocessing.pop("frame") == 0
    parts = {"graph": bundle.manifest.digests[GRAPH], "preprocessing": preprocessing, "head": bundle.manifest.head}
    assert bundle.fingerprint == hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def test_similarity_is_that_of_the_head(bundle: Bundle, tmp_path: Path) -> None:
    def with_head(name: str, path: Path = bundle.path) -> Bundle:
        return Bundle(path, replace(bundle.manifest, head=name, dim=3))

    assert with_head("cosine").similarity() is cosine
    assert with_head("euclidean").similarity() is euclidean
    save_weights(tmp_path, {"head.weight": np.array([-1, 0, -2], np.float32), "head.bias": np.array(0.5, np.float32)})
    learned = with_head("weighted-l1", tmp_path).similarity()
    assert float(learned(np.array([1.0, 5.0, 2.0]), np.array([0.0, 0.0, 4.0]))) == -4.5
    with pytest.raises(BundleError, match="no weights of a weighted-l1 head"):
        with_head("weighted-l1").similarity()
    save_weights(tmp_path, {"head.weight": np.zeros(2, np.float32), "head.bias": np.array(0.5, np.float32)})
    with pytest.raises(BundleError, match=r"expected a weighted-l1 head of \(3,\) weights and a bias, got \(2,\)"):
        with_head("weighted-l1", tmp_path).similarity()


def test_weights_are_safetensors(bundle: Bundle) -> None:
    assert all(name.startswith("encoder.") for name in load_file(bundle.path / WEIGHTS))


def test_a_new_folder_takes_its_name_when_all_is_done(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "new"
    with replacing(path) as folder:
        assert folder.parent == path.parent, "on the same disk, so that a rename is enough"
        (folder / "a").write_text("1")
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["new"]
    assert (path / "a").read_text() == "1"


def test_an_older_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old").write_text("")
    with replacing(path) as folder:
        (folder / "new").write_text("")
        assert os.listdir(path) == ["old"]
    assert os.listdir(path) == ["new"]
    assert os.listdir(tmp_path) == ["bundle"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    program = f"""
import os, signal
from pathlib import Path
from samekind.bundle import replacing
with replacing(Path({str(path)!r})) as folder:
    (folder / "half").write_text("")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 1
    (tmp_path / ".bundle.old").mkdir()  # killed between the two renames
    with replacing(path) as folder:
        (folder / "new").write_text("")
        assert (tmp_path / ".bundle.old").exists(), "it may be the only whole one"
    assert os.listdir(path) == ["new"]
    assert os.listdir(tmp_path) == ["bundle"]


def test_only_a_bundle_may_be_replaced(bundle: Bundle, tmp_path: Path) -> None:
    refuse_other(bundle.path)
    refuse_other(tmp_path / "new")
    for nameless in (Path(), Path(".."), Path("/")):
        with pytest.raises(InputError, match="expected the name of a folder"):
            refuse_other(nameless)
    (tmp_path / "file").write_text("")
    for other in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match=f"{other}: exists and is no bundle; choose another --out"):
            refuse_other(other)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), MissingDataError("x"), BundleError("x")])
def test_nothing_stays_where_a_step_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old").write_text("")

    def fail() -> None:
        with replacing(path) as folder:
            (folder / "new").write_text("")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert os.listdir(path) == ["old"]
    assert os.listdir(tmp_path) == ["bundle"]


def test_the_older_folder_comes_back_where_the_exchange_fails(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old").write_text("")
    with pytest.raises(InputError, match="bundle: cannot be written"), replacing(path) as folder:
        folder.rmdir()  # so that it cannot be renamed
    assert os.listdir(path) == ["old"]
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"cannot be written .*choose another --out"),
        replacing(tmp_path / "file" / "x"),
    ):
        pass


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no such permissions here")
def test_a_folder_that_is_read_only_is_an_error(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # to the superuser nothing is read-only
    try:
        with pytest.raises(InputError, match=r"cannot be written .Permission denied"), replacing(locked / "bundle"):
            pass
    finally:
        if user == 0:
            os.seteuid(user)
    assert not os.listdir(locked)
