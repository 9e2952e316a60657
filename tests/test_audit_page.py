"""The page of an audit: one file that shows what it says, whatever the names."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from samekind.audit import KINDS, Audit, View, audit
from samekind.audit_page import TITLES, write_audit
from samekind.data.glyphs import glyphs
from samekind.errors import InputError
from samekind.similarity import euclidean


@pytest.fixture(scope="module")
def found() -> Audit:
    """Three wrong labels and one copy among a few characters."""
    data = glyphs(6, 8, seed=5)
    labels = np.append(data.labels, [4, 5])
    items, names = [*data.items, data.items[0], data.items[9]], (*data.names, "<copy> & Söhne.png", "copy.png")
    rng = np.random.default_rng(0)
    true = np.append(data.labels, [data.labels[0], data.labels[9]])
    embeddings = (rng.normal(size=(6, 16))[true] + 0.2 * rng.normal(size=(len(true), 16))).astype(np.float32)
    labels[20] = 0
    data = replace(data, items=items, names=names, labels=labels, sources=None)
    return audit(data, (View(embeddings, euclidean, np.ones(6, dtype=bool)),))


def page_of(found: Audit, folder: Path, *, most: int = 24) -> str:
    path = folder / "audit.html"
    write_audit(path, found, judged_by="a <model>", most=most, date=datetime(2026, 1, 2, tzinfo=UTC))
    return path.read_text(encoding="utf-8")


def test_every_kind_has_a_title() -> None:
    assert tuple(TITLES) == KINDS


def test_the_page_is_one_file_that_fetches_and_runs_nothing(found: Audit, tmp_path: Path) -> None:
    page = page_of(found, tmp_path)
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', page)
    assert "url(" not in page
    assert list(tmp_path.iterdir()) == [tmp_path / "audit.html"]


def test_the_page_counts_and_shows_what_was_found(found: Audit, tmp_path: Path) -> None:
    page = page_of(found, tmp_path)
    assert [int(n) for n in re.findall(r'class="value">([\d,]+)<', page)] == [found.likely(kind) for kind in KINDS]
    assert found.likely("mislabelled") == 3
    assert found.likely("near-duplicate") == 2
    listed = sum(len(findings) for findings in found.findings.values())
    assert page.count('<li class="finding card">') == listed
    for kind in ("mislabelled", "near-duplicate"):
        name = found.data.names[found.findings[kind][0].sides[0].images[0]]
        assert name.replace("<", "&lt;").replace(">", "&gt;").replace("&amp;", "&").replace(" & ", " &amp; ") in page
    assert "&lt;copy&gt; &amp; Söhne.png" in page
    assert "a &lt;model&gt;" in page
    assert "2026-01-02" in page


def test_no_more_is_shown_than_asked_for(found: Audit, tmp_path: Path) -> None:
    page = page_of(found, tmp_path, most=1)
    shown = sum(min(1, len(findings)) for findings in found.findings.values())
    assert page.count('<li class="finding card">') == shown
    assert f"The first 1 of {len(found.findings['mislabelled'])} are shown." in page
    with pytest.raises(InputError, match="at least 1 finding"):
        page_of(found, tmp_path, most=0)


def test_kinds_that_were_not_looked_for_are_left_out(found: Audit, tmp_path: Path) -> None:
    page = page_of(Audit(found.data, {"outlier": ()}), tmp_path)
    assert "None found." in page
    assert TITLES["outlier"].name in page
    assert TITLES["mislabelled"].name not in page


def test_a_page_that_cannot_be_written_is_refused(found: Audit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        write_audit(tmp_path, found, judged_by="a model")
