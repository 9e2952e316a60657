"""The package as it is imported and installed: its names, what an import costs, and life without torch."""

import ast
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import samekind
from samekind.bundle import SHIPPED, Bundle, shipped
from samekind.data.glyphs import glyphs

ROOT = Path(__file__).parent.parent
OF_VENV = ("pip", "setuptools", "pkg_resources")
"""What an empty environment holds already."""


def test_every_public_name_resolves() -> None:
    assert len(samekind.__all__) <= 25
    assert samekind.__all__ == sorted(samekind.__all__)
    for name in samekind.__all__:
        assert getattr(samekind, name) is not None
    assert dir(samekind) == samekind.__all__


def test_the_lazy_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(samekind.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(checked.test) == "TYPE_CHECKING"
    imports = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert imports == {name: f"samekind.{module}" for name, module in samekind._MODULES.items()}
    assert sorted([*imports, "__version__"]) == samekind.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sphinx'"):
        _ = samekind.Sphinx


def test_importing_costs_nothing() -> None:
    code = "import sys; before = set(sys.modules); import samekind; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in loaded} <= {"samekind"} | set(sys.stdlib_module_names)
    assert {name for name in loaded if name.startswith("samekind.")} == {"samekind.errors", "samekind.version"}


def test_deciding_half_never_imports_torch() -> None:
    code = (
        "import sys, samekind\n"
        "for name in ('Verifier', 'Gallery', 'load_bundle', 'load', 'glyphs', 'run', 'write_report'):\n"
        "    getattr(samekind, name)\n"
        "print('torch' in sys.modules, 'onnx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == (
        "False False\n"
    )


def test_a_name_that_needs_torch_says_what_to_install() -> None:
    code = (
        "import sys, samekind\n"
        "sys.modules['torch'] = None  # as Python marks a module that cannot be imported\n"
        "try:\n"
        "    samekind.SiameseNetwork\n"
        "except samekind.SamekindError as error:\n"
        "    print(type(error).__name__, isinstance(error, ImportError), error)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == (
        "MissingExtraError True samekind.SiameseNetwork needs torch: pip install 'samekind[train]'\n"
    )


def test_the_type_marker_and_the_template_are_in_the_package() -> None:
    package = Path(samekind.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "report.html.j2").is_file()


@pytest.mark.slow
def test_a_fresh_environment_without_the_extra_verifies_and_refuses_to_train(bundle: Bundle, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", sources / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, sources / name)
    venv.create(tmp_path / "fresh", with_pip=True)
    python, command = tmp_path / "fresh" / "bin" / "python", tmp_path / "fresh" / "bin" / "samekind"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def ran(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)

    built = ran(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path / "wheels", sources)
    if built.returncode and "connection" in built.stderr.lower():
        pytest.skip("no package index can be reached")
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "wheels").iterdir()
    installed = ran(python, "-m", "pip", "install", "--quiet", wheel)
    assert installed.returncode == 0, installed.stderr

    packages = json.loads(ran(python, "-m", "pip", "list", "--format", "json").stdout)
    assert not {"torch", "onnx", "scikit-learn", "pandas"} & {package["name"] for package in packages}
    (site,) = (tmp_path / "fresh" / "lib").glob("python*/site-packages")
    files = [path for path in site.rglob("*") if path.is_file() and path.relative_to(site).parts[0] not in OF_VENV]
    size = sum(path.stat().st_size for path in files)
    assert size <= 450e6, f"{size / 1e6:.0f} MB installed"

    glyphs(1, 1)[0][0].save(tmp_path / "a.png")
    decided = ran(command, "verify", "a.png", "a.png", "--model", bundle.path, "--json")
    assert decided.returncode == 0, decided.stderr
    assert json.loads(decided.stdout)["reasons"] == ["identical to the model"]
    if shipped():
        assert "omniglot" in shipped()
        assert sum(file.stat().st_size for file in (SHIPPED / "omniglot").iterdir()) <= 4e6
        assert ran(command, "verify", "a.png", "a.png").returncode == 0

    page = tmp_path / "page.html"
    measuring = ("evaluate", bundle.path, "--protocol", "verification", "--data", "glyphs", "--trials", "200")
    measured = ran(command, *measuring, "--report", page, "--json")
    assert measured.returncode == 0, measured.stderr
    assert page.is_file()

    for arguments in (("train", "glyphs", "--out", "model"), ("demo",)):
        refused = ran(command, *arguments)
        assert refused.returncode == 2
        assert refused.stdout == ""
        assert refused.stderr.strip().endswith("pip install 'samekind[train]'")
        assert len(refused.stderr.splitlines()) == 1
    asked = ran(python, "-c", "import samekind; samekind.SiameseNetwork")
    assert "MissingExtraError: samekind.SiameseNetwork needs torch: pip install 'samekind[train]'" in asked.stderr
