"""`samekind serve` and `samekind keys` as a user meets them: output, exit codes, one line for what is wrong."""

import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from samekind.bundle import Bundle
from samekind.cli import main
from samekind.service.keys import KeyRing
from samekind.service.server import bind

NO_EXTRA = """
import sys
for name in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
    sys.modules[name] = None  # as if it were not installed
from samekind.cli import main
main()
"""


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code, and what it wrote to standard output and to standard error."""

    code: int
    out: str
    err: str


def samekind(*arguments: str | Path) -> Ran:
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["samekind", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert isinstance(stop.value.code, int)
    return Ran(stop.value.code, out.getvalue(), err.getvalue())


def complaint(ran: Ran) -> str:
    """The one line of a command that was used wrongly."""
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    return ran.err


def test_a_key_from_its_making_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = samekind("keys", "create", "Anna", "--scope", "verify", "--scope", "read", "--keys", path)
    assert (made.code, len(made.out.splitlines())) == (0, 1)
    key = KeyRing(path).find(made.out.strip())
    assert key is not None
    assert (key.name, key.scopes) == ("Anna", ("verify", "read"))
    listed = samekind("keys", "list", "--keys", path)
    assert listed.out == f"{key.id}  {key.created}  verify,read  Anna\n"
    assert samekind("keys", "revoke", key.id, "--keys", path).code == 0
    assert samekind("keys", "list", "--keys", path).out == ""


def test_keys_as_json(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = json.loads(samekind("keys", "create", "Anna", "--scope", "admin", "--keys", path, "--json").out)
    assert KeyRing(path).find(made.pop("key")) is not None
    assert json.loads(samekind("keys", "list", "--keys", path, "--json").out) == {"keys": [made]}
    assert json.loads(samekind("keys", "revoke", "Anna", "--keys", path, "--json").out) == {"revoked": made}
    assert set(made) == {"id", "name", "scopes", "created"}  # its hash is nobody's concern


def test_keys_are_in_the_folder_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samekind("keys", "create", "Anna", "--scope", "read")
    assert [file.name for file in tmp_path.iterdir()] == ["samekind-keys.json"]


def test_wrong_use_of_keys_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert "known: verify, read, enroll, admin" in complaint(
        samekind("keys", "create", "Anna", "--scope", "root", "--keys", path)
    )
    assert "--scope" in complaint(samekind("keys", "create", "Anna", "--keys", path))
    assert "no such file" in complaint(samekind("keys", "list", "--keys", path))
    assert "no such file" in complaint(samekind("serve", "--keys", path))
    path.write_text("{}")
    assert "missing key" in complaint(samekind("keys", "revoke", "Anna", "--keys", path))


def test_others_are_not_answered_without_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "samekind keys create" in complaint(samekind("serve", "--host", "0.0.0.0"))
    empty = tmp_path / "keys.json"
    samekind("keys", "create", "Anna", "--scope", "read", "--keys", empty)
    samekind("keys", "revoke", "Anna", "--keys", empty)
    assert "samekind keys create" in complaint(samekind("serve", "--host", "0.0.0.0", "--keys", empty))


def test_what_cannot_be_served_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no such bundle" in complaint(samekind("serve", "--model", "nothing", "--port", "0"))
    assert "origin" in complaint(samekind("serve", "--cors", "*"))
    (tmp_path / "text").write_text("no gallery")
    assert "text" in complaint(samekind("serve", "--gallery", "text", "--model", bundle.path, "--port", "0"))
    with bind("127.0.0.1", 0, has_keys=False) as bound:
        bound.socket.listen()
        assert "choose another" in complaint(samekind("serve", "--port", bound.url.rpartition(":")[2]))


def test_the_extra_that_is_missing_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", NO_EXTRA, "serve"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'samekind[serve]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    keys = subprocess.run([sys.executable, "-c", NO_EXTRA, "keys", "--help"], capture_output=True, check=False)
    assert keys.returncode == 0
