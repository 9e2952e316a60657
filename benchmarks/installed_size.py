"""What `pip install samekind` puts on a disk, without any extra: megabytes by top-level package.

A fresh environment, installed from this checkout; sizes are those of the files (as `du --apparent-size`), compiled
Python included, in units of a million bytes. Floor: 450 MB.
"""

import subprocess
import tempfile
import venv
from pathlib import Path

from results import CHECKOUT, arguments, keep


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files below each entry of a folder."""
    return {
        entry.name: sum(f.lstat().st_size for f in ([entry] if entry.is_file() else entry.rglob("*")) if f.is_file())
        for entry in folder.iterdir()
    }


def main() -> None:
    given = arguments(__file__, __doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        (packages,) = Path(folder).glob("lib/python*/site-packages")
        before = sizes(packages)
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, str(CHECKOUT)], check=True)
        after = sizes(packages)
    grown = {name: size - before.get(name, 0) for name, size in after.items() if size > before.get(name, 0)}
    largest = dict(sorted(grown.items(), key=lambda item: -item[1]))
    megabytes = {name: round(size / 1e6, 2) for name, size in largest.items()}
    keep(
        given.out,
        {"total_megabytes": round(sum(grown.values()) / 1e6, 1), "megabytes": megabytes, "floors": {"total": 450}},
    )


if __name__ == "__main__":
    main()
