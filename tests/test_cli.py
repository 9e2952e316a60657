"""The command as a user meets it: what it prints, its exit codes, and one clear line for whatever is wrong."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samekind.bundle import CARD, GRAPH, MANIFEST, WEIGHTS, Bundle, digest, load_bundle
from samekind.cli import main
from samekind.data.glyphs import glyphs
from samekind.images import open_image
from samekind.verifier import Decision
from samekind.version import __version__

EVALUATION_KEYS = {"protocol", "bundle", "data", "n_trials", "seed", "metrics", "version", "data_fingerprint"}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
NOWHERE = "http://127.0.0.1:9"  # a proxy that nothing listens at

FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from samekind.cli import main
main()
"""
LOOK_AT_MODULES = """
import sys
from samekind.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code in (0, 1), stop.code
print(*sys.modules, file=sys.stderr)
"""


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code, and what it wrote to standard output and to standard error."""

    code: int
    out: str
    err: str


def samekind(*arguments: str | Path) -> Ran:
    """The command in this process, on a terminal that knows only western letters."""
    written, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(written, encoding="latin-1")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["samekind", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
    out.flush()
    assert isinstance(stop.value.code, int)
    return Ran(stop.value.code, written.getvalue().decode("latin-1"), err.getvalue())


def process(*arguments: str | Path | bytes, program: tuple[str, ...] = ("-m", "samekind"), **variables: str) -> Ran:
    """The command in a process of its own."""
    done = subprocess.run(
        [sys.executable, *program, *(os.fspath(argument) for argument in arguments)],
        capture_output=True,
        check=False,
        timeout=300,
        env={**ENVIRONMENT, **variables},
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def without_omniglot(folder: Path, *options: str) -> Ran:
    """A short demo in a folder of this folder, where Omniglot cannot be had."""
    return process(
        "demo",
        *("--out", str(folder / "demo"), "--minutes", "0.05", "--seed", "1"),
        *options,
        SAMEKIND_DATA="",
        XDG_CACHE_HOME=str(folder / "cache"),
        https_proxy=NOWHERE,
        HTTPS_PROXY=NOWHERE,
    )


def only_object(ran: Ran) -> dict[str, object]:
    """The one JSON object that is all of standard output."""
    assert ran.out.count("\n") == 1
    content = json.loads(ran.out)
    assert isinstance(content, dict)
    return content


def assert_refused(ran: Ran, *words: str, code: int = 2) -> None:
    """An exit code and one line that holds these words, nothing else."""
    assert ran.code == code, ran
    assert ran.out == ""
    assert ran.err.startswith("samekind: ")
    assert len(ran.err.splitlines()) == 1, ran.err
    for word in words:
        assert word in ran.err


def hidden(folder: Path) -> list[Path]:
    """What a command staged in a folder and left behind."""
    return [path for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]


def write_classes(folder: Path, *, classes: int = 8, each: int = 4, seed: int = 11) -> Path:
    """A folder with one sub-folder a class, of generated characters."""
    data = glyphs(classes, each, seed=seed)
    for index, item in enumerate(data.items):
        place = folder / data.classes[data.labels[index]].replace("/", "-")
        place.mkdir(parents=True, exist_ok=True)
        open_image(item).save(place / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight classes of four images; do not change it."""
    return write_classes(tmp_path_factory.mktemp("data") / "parts")


@pytest.fixture(scope="module")
def pair(parts: Path) -> tuple[Path, Path]:
    """Two images of one class."""
    first, second = sorted(sorted(parts.iterdir())[0].iterdir())[:2]
    return first, second


@dataclass(frozen=True)
class Learned:
    """What `samekind train` wrote, and what it said."""

    path: Path
    ran: Ran


@pytest.fixture(scope="module")
def learned(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """A bundle that the command trained, a little, in a folder whose name not every terminal can show."""
    path = tmp_path_factory.mktemp("learned") / "μοντέλο"
    ran = samekind("train", parts, "--out", path, "--steps", "3", "--size", "16", "--loss", "triplet", "--seed", "5")
    return Learned(path, ran)


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle to damage."""
    return Path(shutil.copytree(bundle.path, tmp_path / "copied"))


def test_help_names_every_command_and_takes_no_torch() -> None:
    ran = samekind("--help")
    assert ran.code == 0
    assert all(f"\n  {command} " in ran.out for command in ("demo", "train", "evaluate", "verify"))
    for command in ("demo", "train", "evaluate", "verify"):
        assert "--json" in samekind(command, "--help").out


def test_version() -> None:
    assert samekind("--version") == Ran(0, f"samekind {__version__}\n", "")


def test_without_a_command_it_shows_its_help() -> None:
    ran = samekind()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: samekind")


def test_verify_answers_by_its_exit_code_and_one_object(bundle: Bundle, pair: tuple[Path, Path]) -> None:
    codes = set()
    images = sorted(pair[0].parent.parent.rglob("*.png"))[:12:2]
    for image in images:
        ran = samekind("verify", pair[0], image, "--model", bundle.path, "--json")
        decision = only_object(ran)
        assert set(decision) == {field.name for field in fields(Decision)}
        assert ran.err == ""
        same, reasons = decision["same"], decision["reasons"]
        assert ran.code == (3 if same is None else 0 if same else 1)
        assert isinstance(reasons, list)
        assert (same is None) == any("identical" not in reason for reason in reasons)
        codes.add(ran.code)
    assert codes >= {0, 1}


def test_verify_speaks_to_a_person(bundle: Bundle, pair: tuple[Path, Path]) -> None:
    ran = samekind("verify", pair[0], pair[0], "--model", bundle.path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("same: probability of same ")
    assert "identical to the model" in ran.out
    assert len(ran.out.splitlines()) == 1


def test_verify_takes_several_references(bundle: Bundle, pair: tuple[Path, Path]) -> None:
    scores = [
        only_object(samekind("verify", pair[0], *references, "--model", bundle.path, "--json"))["score"]
        for references in ((pair[0],), (pair[1],), pair)
    ]
    assert scores[1] < scores[2] < scores[0]  # type: ignore[operator]


def test_verify_cannot_tell_without_a_threshold(copied: Path, pair: tuple[Path, Path]) -> None:
    manifest = json.loads((copied / MANIFEST).read_text(encoding="utf-8"))
    (copied / MANIFEST).write_text(json.dumps({**manifest, "calibration": None}), encoding="utf-8")
    for options in ((), ("--json",)):
        ran = samekind("verify", *pair, "--model", copied, *options)
        assert_refused(ran, str(copied), "no threshold", "samekind train", code=3)


def test_train_writes_a_bundle_that_says_how_it_was_made(learned: Learned, parts: Path) -> None:
    assert learned.ran.code == 0, learned.ran
    assert "3 steps" in learned.ran.out
    assert "\\u03bc" in learned.ran.out  # what the terminal cannot show does not stop the command
    assert "24 images of 6 classes; 2 held out" in learned.ran.err
    manifest = load_bundle(learned.path).manifest
    assert manifest.provenance.command == " ".join(
        ["samekind", "train", str(parts), "--out", f"'{learned.path}'", "--steps 3 --size 16 --loss triplet --seed 5"]
    )
    assert (manifest.provenance.steps, manifest.provenance.seed, manifest.provenance.loss) == (3, 5, "triplet")
    assert (manifest.preprocessing.size, manifest.preprocessing.channels) == (16, 1)
    assert manifest.calibration is not None
    assert manifest.calibration.classes == 2
    assert sorted(path.name for path in learned.path.parent.iterdir()) == [learned.path.name]


def test_train_on_a_csv_with_groups_replaces_a_bundle_and_prints_one_object(copied: Path, parts: Path) -> None:
    rows = [f"{image},{image.parent.name},{int(image.parent.name[-1]) % 2}" for image in sorted(parts.rglob("*.png"))]
    table = copied.parent / "table.csv"
    table.write_text("\n".join(["path,label,group", *rows]), encoding="utf-8")
    before = load_bundle(copied)
    ran = samekind("train", table, "--out", copied, "--steps", "2", "--size", "16", "--json")
    assert ran.code == 0, ran
    summary = only_object(ran)
    after = load_bundle(copied)
    assert after.fingerprint != before.fingerprint
    assert (summary["bundle"], summary["fingerprint"]) == (str(copied), after.fingerprint)
    assert (summary["steps"], summary["data"]) == (2, str(table))
    assert not hidden(copied.parent)
    assert (after.manifest.provenance.loss, after.manifest.encoder) == ("contrastive", "small")


def test_train_looks_at_colour_when_asked_and_names_bad_images_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in range(5):
        (tmp_path / "data" / f"class{name}").mkdir(parents=True)
        for image in range(3):
            pixels = np.clip(rng.normal(40 * name + 20, 30, (20, 20, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / f"class{name}" / f"{image}.png")
    for bad in ("torn", "text"):
        (tmp_path / "data" / "class1" / f"{bad}.png").write_bytes(b"no image at all")
    command = ("train", tmp_path / "data", "--out", tmp_path / "model", "--steps", "2", "--size", "16", "--colour")
    refused = samekind(*command, "--on-bad-image", "error")
    assert_refused(refused, "2 of 17 images", "class1/torn.png", "class1/text.png")
    assert not (tmp_path / "model").exists()
    ran = samekind(*command, "--on-bad-image", "skip")
    assert ran.code == 0, ran
    assert [line for line in ran.err.splitlines() if "torn.png" in line and "text.png" in line] == [
        refused.err.strip().removeprefix(f"samekind: {tmp_path / 'data'}: ")
    ]
    assert load_bundle(tmp_path / "model").manifest.preprocessing.channels == 3
    assert "colour" in samekind("train", "glyphs", "--out", tmp_path / "other", "--colour").err


def test_evaluate_prints_one_object_with_the_agreed_keys(bundle: Bundle, parts: Path) -> None:
    ran = samekind("evaluate", bundle.path, "--protocol", "one-shot", "--data", parts, "--ways", "3", "--json")
    assert (ran.code, ran.err) == (0, "")
    measured = only_object(ran)
    assert set(measured) == EVALUATION_KEYS
    assert (measured["protocol"], measured["bundle"], measured["data"]) == ("one-shot", str(bundle.path), str(parts))
    assert (measured["n_trials"], measured["seed"], measured["version"]) == (10_000, 0, __version__)
    metrics = measured["metrics"]
    assert isinstance(metrics, dict)
    assert set(metrics) == {"accuracy"}
    assert 0 <= metrics["accuracy"]["low"] <= metrics["accuracy"]["value"] <= metrics["accuracy"]["high"] <= 1


def test_each_option_of_evaluate_counts(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    def accuracy(*options: str | Path) -> dict[str, float]:
        common = ("evaluate", bundle.path, "--protocol", "one-shot", "--data", parts, "--trials", "300", "--json")
        measured = only_object(samekind(*common, *options))
        assert measured["n_trials"] == 300
        return measured["metrics"]["accuracy"]  # type: ignore[index, no-any-return]

    plain = accuracy("--ways", "3")
    assert accuracy("--ways", "3") == plain
    assert accuracy("--ways", "8")["value"] < plain["value"]
    assert accuracy("--ways", "3", "--shots", "3") != plain
    assert accuracy("--ways", "3", "--seed", "1") != plain
    with_report = accuracy("--ways", "3", "--report", tmp_path / "page.html")
    assert with_report == plain
    assert (tmp_path / "page.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_verification_takes_pairs_by_trials_and_impostors(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    common = ("evaluate", bundle.path, "--protocol", "verification", "--json", "--trials", "40", "--data")
    measured = only_object(samekind(*common, parts))
    assert measured["n_trials"] == 40
    assert isinstance(measured["metrics"], dict)
    assert set(measured["metrics"]) > {"accuracy", "eer", "auc", "fnmr@fmr=0.01", "cllr", "min_cllr"}
    assert_refused(samekind(*common, parts, "--impostors", "same-group"), "groups")
    for name in ("left", "right"):
        shutil.copytree(parts, tmp_path / "grouped" / name)
    hard = only_object(samekind(*common, tmp_path / "grouped", "--impostors", "same-group"))
    assert hard["metrics"] != only_object(samekind(*common, tmp_path / "grouped"))["metrics"]


def test_evaluate_speaks_to_a_person(learned: Learned, tmp_path: Path) -> None:
    common = ("evaluate", learned.path, "--protocol", "one-shot", "--ways", "4", "--trials", "50", "--data")
    ran = samekind(*common, write_classes(tmp_path / "unseen", seed=12))
    assert (ran.code, ran.err) == (0, "")
    assert "accuracy" in ran.out
    assert "%" in ran.out


def test_on_its_training_data_a_model_is_measured_on_the_held_out_classes(
    learned: Learned, parts: Path, tmp_path: Path
) -> None:
    common = ("evaluate", learned.path, "--protocol", "verification", "--seed", "3", "--json", "--data")
    ran = samekind(*common, parts)
    assert ran.code == 0, ran
    assert ran.err == (
        "this model was trained on the other classes of this data; measured on the 2 held-out ones, "
        "which also set the threshold\n"
    )
    held_out = load_bundle(learned.path).manifest.provenance.held_out_classes
    for name in held_out:
        shutil.copytree(parts / name, tmp_path / "held-out" / name)
    alone = only_object(samekind(*common, tmp_path / "held-out"))
    measured = only_object(ran)
    assert measured.pop("data") == f"{parts}, held-out classes"
    assert alone.pop("data") == str(tmp_path / "held-out")
    assert measured == alone


def test_a_baseline_needs_no_bundle(parts: Path) -> None:
    command = ("evaluate", "--baseline", "hausdorff", "--protocol", "verification", "--data", parts, "--json")
    measured = only_object(samekind(*command))
    assert measured["bundle"] == "baseline:hausdorff"
    assert isinstance(measured["metrics"], dict)
    assert measured["metrics"]["auc"]["value"] > 0.6
    assert not {"accuracy", "cllr"} & set(measured["metrics"])  # it has no threshold and is not calibrated


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], ["bogus"]),
        (["--bogus"], ["--bogus"]),
        (["verify"], ["QUERY"]),
        (["verify", "a.png"], ["REFERENCE"]),
        (["verify", "a.png", "b.png", "--bogus"], ["--bogus"]),
        (["verify", "-a.png", "b.png"], ["-a"]),
        (["verify", "--", "-a.png", "-b.png", "--model"], []),
        (["verify", "a.png", "b.png", "--model", "no-such-model"], ["no-such-model", "no such bundle"]),
        (["verify", "a.png", "b.png", "--model", ""], ["bundle"]),
        (["verify", "a.png", "b.png", "--model", "m" * 300], ["mmm", "too long"]),
        (["train"], ["DATA"]),
        (["train", "glyphs"], ["--out"]),
        (["train", "PARTS", "--out", "OUT", "--bogus"], ["--bogus"]),
        (["train", "PARTS", "--out", "OUT", "--minutes", "-1"], ["minutes > 0", "-1"]),
        (["train", "PARTS", "--out", "OUT", "--minutes", "nan"], ["minutes > 0", "nan"]),
        (["train", "PARTS", "--out", "OUT", "--minutes", "soon"], ["--minutes", "number"]),
        (["train", "PARTS", "--out", "OUT", "--steps", "0"], ["steps >= 1", "0"]),
        (["train", "PARTS", "--out", "OUT", "--steps", "5", "--minutes", "1"], ["minutes or steps"]),
        (["train", "PARTS", "--out", "OUT", "--seed", "-1"], ["--seed", "0"]),
        (["train", "PARTS", "--out", "OUT", "--size", "0"], ["size", "0"]),
        (["train", "PARTS", "--out", "OUT", "--encoder", "huge"], ["huge", "small", "residual", "koch"]),
        (["train", "PARTS", "--out", "OUT", "--loss", "none"], ["none", "contrastive", "supcon"]),
        (["train", "PARTS", "--out", "OUT", "--loss", ""], ["loss", "contrastive"]),
        (["train", "PARTS", "--out", "OUT", "--on-bad-image", "mend"], ["--on-bad-image", "mend"]),
        (["train", "no-such-data", "--out", "OUT"], ["no-such-data", "glyphs"]),
        (["train", "d" * 300, "--out", "OUT"], ["ddd", "too long"]),
        (["train", "", "--out", "OUT"], ["sub-folder"]),
        (["train", "omniglot:middle", "--out", "OUT"], ["omniglot:middle", "omniglot:background"]),
        (["train", "omniglot:small1", "--out", "OUT", "--data-dir", "nowhere"], ["nowhere", "images_background.zip"]),
        (["evaluate"], ["BUNDLE", "--baseline"]),
        (["evaluate", "--baseline", "magic"], ["magic", "hausdorff"]),
        (["evaluate", "--baseline", "hausdorff", "--protocol", "best"], ["best", "lake", "koch"]),
        (["evaluate", "--baseline", "hausdorff", "--data", "PARTS", "--protocol", "koch", "--ways", "5"], ["ways"]),
        (
            ["evaluate", "--baseline", "hausdorff", "--data", "PARTS", "--protocol", "lake", "--trials", "5"],
            ["trials"],
        ),
        (["evaluate", "--baseline", "hausdorff", "--data", "no-such-data"], ["no-such-data"]),
        (["evaluate", "--baseline", "hausdorff", "--data", ""], ["sub-folder"]),
        (["evaluate", "--baseline", "hausdorff", "--data-dir", "nowhere"], ["nowhere"]),
        (["evaluate", "--baseline", "hausdorff", "--seed", "-1"], ["--seed"]),
        (["demo", "--data-dir", "nowhere"], ["nowhere", "images_background"]),
        (["demo", "--minutes", "0"], ["minutes > 0"]),
        (["demo", "--minutes", "-0.5"], ["minutes > 0"]),
        (["demo", "--bogus"], ["--bogus"]),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], words: list[str], parts: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert_refused(samekind(*(argument.replace("PARTS", str(parts)) for argument in arguments)), *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("protocol", "options", "words"),
    [
        ("one-shot", ["--ways", "20"], ["20", "8"]),
        ("one-shot", ["--ways", "1"], ["ways", "1"]),
        ("one-shot", ["--ways", "3", "--shots", "4"], ["4"]),
        ("one-shot", ["--ways", "3", "--shots", "0"], ["shots", "0"]),
        ("one-shot", ["--ways", "3", "--trials", "0"], ["0"]),
        ("one-shot", ["--impostors", "any"], ["impostors", "ways"]),
        ("verification", ["--impostors", "twins"], ["twins", "same-group"]),
        ("verification", ["--trials", "-2"], ["-2"]),
        ("koch", [], ["alphabet"]),
        ("lake", [], ["alphabets"]),
        ("within-alphabet", [], ["alphabets"]),
    ],
)
def test_a_protocol_says_what_it_cannot_do_on_few_classes(
    protocol: str, options: list[str], words: list[str], bundle: Bundle, parts: Path
) -> None:
    assert_refused(samekind("evaluate", bundle.path, "--data", parts, "--protocol", protocol, *options), *words)


def test_evaluate_takes_a_bundle_or_a_baseline_not_both(bundle: Bundle) -> None:
    assert_refused(samekind("evaluate", bundle.path, "--baseline", "hausdorff"), "BUNDLE", "--baseline")


def damaged_images(folder: Path, whole: Path) -> dict[str, tuple[Path, str]]:
    """By what is wrong with it: an image that cannot be read, and what the command must say of it."""
    files = {"text": b"this is a shopping list\n", "empty": b"", "truncated": whole.read_bytes()[:100]}
    for name, content in files.items():
        (folder / f"{name}.png").write_bytes(content)
    (folder / "folder.png").mkdir()
    return {
        "missing": (folder / "missing.png", "no such file"),
        "folder": (folder / "folder.png", "a folder"),
        "text": (folder / "text.png", "not an image"),
        "empty": (folder / "empty.png", "empty"),
        "truncated": (folder / "truncated.png", "truncated"),
        "a long name": (folder / ("n" * 300), "too long"),
        "a name with a null byte": (folder / "nu\0ll", "null byte"),
        "a name that is no text": (folder / "n\udcff.png", "no such file"),
    }


def test_verify_names_the_image_that_it_cannot_read(bundle: Bundle, pair: tuple[Path, Path], tmp_path: Path) -> None:
    for path, says in damaged_images(tmp_path, pair[0]).values():
        name = repr(str(path))[1:-1].replace("\\udcff", "\udcff")
        for images in ((path, pair[0]), (pair[0], path), (pair[0], pair[1], path)):
            assert_refused(samekind("verify", *images, "--model", bundle.path, "--json"), name, says)


def test_a_huge_image_is_one_line_without_a_warning(bundle: Bundle, pair: tuple[Path, Path], tmp_path: Path) -> None:
    whole = pair[0].read_bytes()
    header = b"IHDR" + (10_000).to_bytes(4) + (9_500).to_bytes(4) + whole[24:29]  # Pillow warns, and opens it
    (tmp_path / "huge.png").write_bytes(whole[:12] + header + zlib.crc32(header).to_bytes(4) + whole[33:])
    assert_refused(process("verify", tmp_path / "huge.png", pair[0], "--model", bundle.path), "huge.png", "64000000")


def test_evaluate_goes_on_or_stops_at_a_bad_image(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(parts, tmp_path / "data"))
    (sorted(data.iterdir())[0] / "text.png").write_bytes(b"no image at all")
    command = ("evaluate", bundle.path, "--protocol", "verification", "--trials", "40", "--data", data)
    assert_refused(samekind(*command, "--on-bad-image", "error"), "text.png")
    ran = samekind(*command, "--on-bad-image", "skip")
    assert ran.code == 0
    assert "text.png" in ran.err


def test_data_that_is_no_data_set_is_refused(bundle: Bundle, pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "data").mkdir()
    for what, (path, _) in damaged_images(tmp_path / "data", pair[0]).items():
        says = "too long" if what == "a long name" else "sub-folder" if path.exists() else "no such data"
        for command in (("train", path, "--out", out), ("evaluate", bundle.path, "--data", path)):
            assert_refused(samekind(*command), repr(str(path))[1:-1].split("\\")[0], says)
        if what in ("text", "empty", "truncated"):
            table = path.rename(path.with_suffix(".csv"))
            assert_refused(
                samekind("train", table, "--out", out),
                str(table),
                "path,label[,group]" if what in ("text", "empty") else "UTF-8",
            )
    table = tmp_path / "table.csv"
    table.write_text("path,label\nn\0ull.png,one\nmissing.png,two\n", encoding="utf-8")
    assert_refused(samekind("train", table, "--out", out), str(table), "missing.png")
    assert not out.exists()


def damage_bundle(folder: Path, what: str) -> str:
    """Damage a bundle in place; what the command must say of it."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    match what:
        case "unknown key":
            manifest["colour_of_hair"] = "red"
        case "missing key":
            del manifest["head"]
        case "truncated weights" | "truncated graph" | "truncated graph, right digest":
            file = folder / (WEIGHTS if "weights" in what else GRAPH)
            file.write_bytes(file.read_bytes()[:2000])
            if "right digest" in what:
                manifest["digests"][file.name] = digest(file)
            (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
            return file.name
        case "no graph":
            (folder / GRAPH).unlink()
            return GRAPH
        case "empty folder":
            for file in folder.iterdir():
                file.unlink()
            return MANIFEST
        case "no JSON":
            (folder / MANIFEST).write_bytes(b"\xff\xfe{")
            return MANIFEST
        case "a file":
            shutil.rmtree(folder)
            folder.write_bytes(b"")
            return "a file"
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return "colour_of_hair" if what == "unknown key" else "head"


@pytest.mark.parametrize(
    "what",
    [
        "unknown key",
        "missing key",
        "truncated weights",
        "truncated graph",
        "truncated graph, right digest",
        "no graph",
        "empty folder",
        "no JSON",
        "a file",
    ],
)
def test_a_damaged_bundle_is_refused(what: str, copied: Path, pair: tuple[Path, Path], parts: Path) -> None:
    says = damage_bundle(copied, what)
    assert_refused(samekind("verify", *pair, "--model", copied, "--json"), str(copied), says)
    assert_refused(samekind("evaluate", copied, "--data", parts, "--json"), str(copied), says)


def test_train_refuses_a_place_that_it_cannot_write_before_it_trains(parts: Path, copied: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "link").symlink_to(copied)
    places = {
        tmp_path / "file" / "model": "cannot be written",
        tmp_path / "file" / "below" / "model": "cannot be written",
        tmp_path / "file": "no bundle",
        tmp_path / "folder": "no bundle",
        tmp_path / "link": "a link",
        tmp_path / ("n" * 250): "too long",
        tmp_path / "n\udcff": "no text",
        Path("/proc/samekind/model"): "cannot be written",
    }
    before = sorted(tmp_path.rglob("*"))
    for place, says in places.items():
        assert_refused(samekind("train", parts, "--out", place, "--steps", "2"), str(place), says)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_report_that_cannot_be_written_is_named(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    common = ("evaluate", bundle.path, "--protocol", "one-shot", "--ways", "3", "--trials", "20", "--data", parts)
    for place in (tmp_path, tmp_path / "file" / "page.html", Path("/proc/page.html")):
        ran = samekind(*common, "--report", place)
        assert "accuracy" in ran.out  # measured is measured
        assert_refused(Ran(ran.code, "", ran.err), str(place))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_the_demo_shows_its_figures_even_where_the_report_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "demo" / "report.html").mkdir(parents=True)
    ran = without_omniglot(tmp_path)
    assert ran.code == 2
    assert "report.html: a folder" in ran.err
    assert "accuracy" in ran.out


def test_train_refuses_what_nothing_can_be_learned_from(parts: Path, tmp_path: Path) -> None:
    shared = Path(shutil.copytree(parts, tmp_path / "shared"))
    first, second = sorted(shared.iterdir())[:2]
    original = sorted(first.iterdir())[0]
    shutil.copyfile(original, second / "again.png")
    names = (f"{first.name}/{original.name}", f"{second.name}/again.png")
    few = tmp_path / "few"
    for folder in sorted(parts.iterdir())[:3]:
        shutil.copytree(folder, few / folder.name)
    out = tmp_path / "out"
    for seed in range(3):  # whether or not the split parts them
        assert_refused(samekind("train", shared, "--out", out, "--steps", "2", "--seed", str(seed)), *names)
    assert_refused(samekind("train", few, "--out", out, "--steps", "2"), str(few), "four classes", "got 3")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few", "shared"]


def test_an_image_whose_name_is_no_text_is_read(bundle: Bundle, pair: tuple[Path, Path], tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/-\xff.png"))
    shutil.copyfile(pair[0], odd)
    assert only_object(samekind("verify", odd, pair[0], "--model", bundle.path, "--json"))["reasons"]


@pytest.mark.slow
def test_a_folder_whose_name_is_no_text_is_trained_on(parts: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff"))
    shutil.copytree(parts, odd)
    sorted(odd.iterdir())[0].rename(odd / "\udcfe")
    ran = samekind("train", odd, "--out", tmp_path / "model", "--steps", "2", "--size", "16", "--json")
    assert ran.code == 0, ran
    assert load_bundle(tmp_path / "model").manifest.provenance.data.endswith("d\\udcff")
    assert "d\\udcff" in (tmp_path / "model" / CARD).read_text(encoding="utf-8")


def test_a_command_that_is_wrong_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    assert_refused(process("verify", tmp_path / "a.png", b"\xff.png", "--model", tmp_path), str(tmp_path))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line(bundle: Bundle, pair: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "samekind", "verify", *map(str, pair), "--model", str(bundle.path)]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, text=True, env=ENVIRONMENT)
    assert_refused(Ran(done.returncode, "", done.stderr), "No space left")


def test_deciding_imports_neither_torch_nor_what_it_does_not_need(bundle: Bundle, pair: tuple[Path, Path]) -> None:
    ran = process("verify", *pair, "--model", bundle.path, program=("-c", LOOK_AT_MODULES))
    modules = set(ran.err.split())
    assert {"onnxruntime", "samekind.verifier"} <= modules
    assert not {"torch", "onnx", "scipy", "matplotlib", "rich", "jinja2"} & modules


def test_measuring_does_not_import_torch(bundle: Bundle, parts: Path) -> None:
    command = ("evaluate", bundle.path, "--protocol", "verification", "--data", parts, "--trials", "40")
    ran = process(*command, program=("-c", LOOK_AT_MODULES))
    modules = set(ran.err.split())
    assert {"onnxruntime", "samekind.protocols"} <= modules
    assert not {"torch", "onnx", "scipy.stats", "matplotlib", "samekind.training"} & modules


@pytest.mark.slow
def test_a_full_disk_while_a_bundle_is_written_leaves_the_old_one(parts: Path, copied: Path) -> None:
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    for out in (copied, copied.parent / "new"):
        command = ("100000", "train", parts, "--out", out, "--steps", "2", "--size", "16")
        ran = process(*command, program=("-c", FULL_DISK))
        assert ran.code == 2, ran
        assert ran.err.splitlines()[-1].startswith(f"samekind: {out}: cannot be written (File too large")
        assert "Traceback" not in ran.err
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


@pytest.mark.slow
def test_a_full_disk_while_a_report_is_written_leaves_the_old_one(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("the old page", encoding="utf-8")
    command = ("evaluate", bundle.path, "--protocol", "verification", "--data", parts, "--report", page)
    ran = process("10000", *command, program=("-c", FULL_DISK))
    assert "accuracy" in ran.out
    assert_refused(Ran(ran.code, "", ran.err), str(page), "File too large")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert page.read_text(encoding="utf-8") == "the old page"


@pytest.mark.slow
def test_an_interrupted_training_says_so_and_writes_no_bundle(parts: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "samekind", "train", str(parts), "--out", str(tmp_path / "model")]

    def hear() -> None:  # a shell's background jobs, and what they start, are deaf to Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        [*command, "--steps", "1000"],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=hear,  # noqa: PLW1509  (no thread is alive here)
    ) as running:
        assert running.stderr is not None
        seen = ""
        while "10%, step" not in seen:
            line = running.stderr.readline()
            assert line, seen
            seen += line
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
    assert running.returncode == 130
    assert rest.splitlines()[-1] == "samekind: interrupted"
    assert "Traceback" not in rest
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("json_asked", [False, True])
def test_the_demo_goes_on_with_glyphs_where_omniglot_cannot_be_had(tmp_path: Path, json_asked: bool) -> None:
    ran = without_omniglot(tmp_path, *(["--json"] if json_asked else []))
    assert ran.code == 0, ran
    assert len([line for line in ran.err.splitlines() if "going on with glyphs" in line]) == 1
    assert "Traceback" not in ran.err
    provenance = load_bundle(tmp_path / "demo" / "bundle").manifest.provenance
    assert (provenance.data, provenance.seed) == ("glyphs", 1)
    assert provenance.seconds < 10
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "verification" in page
    assert not hidden(tmp_path / "demo")
    if json_asked:
        content = only_object(ran)
        evaluations = content["evaluations"]
        assert isinstance(evaluations, list)
        assert [evaluation["protocol"] for evaluation in evaluations] == ["verification", "one-shot"]
        assert content["report"] == str(tmp_path / "demo" / "report.html")
    else:
        assert "accuracy" in ran.out
        assert ran.out.endswith(f"report: {tmp_path / 'demo' / 'report.html'}\n")
