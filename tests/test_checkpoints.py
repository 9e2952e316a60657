"""The state of a training on disk: whole or not at all, and of the same training or refused."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from samekind import checkpoints
from samekind.checkpoints import State, fingerprint, load, save
from samekind.errors import InputError
from samekind.examples import Examples
from samekind.recipes import RECIPES, Recipe
from samekind.training import build_optimiser

PIXELS: NDArray[np.uint8] = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8).repeat(4, axis=0)
LABELS: NDArray[np.int64] = np.array([0, 0, 1, 1])


def new_state(seed: int = 0, *, recipe: Recipe = RECIPES["small"], identity: str = "this one") -> State:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    return State(network, build_optimiser(recipe, network), generator, rng, identity)


def go_on(state: State, steps: int) -> None:
    """Steps that use everything a state holds."""
    for _ in range(steps):
        x = torch.randn((8, 2, 6, 6), generator=state.generator) + float(state.rng.random())
        loss = state.network(x.contiguous(memory_format=torch.channels_last)).square().mean()
        state.optimiser.zero_grad()
        loss.backward()
        state.optimiser.step()
        state.steps += 1


def weights(state: State) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.network.state_dict().items()}


@pytest.mark.parametrize("name", ["small", "koch"])
def test_a_loaded_state_goes_on_as_the_saved_one(tmp_path: Path, name: str) -> None:
    state, path = new_state(1, recipe=RECIPES[name]), tmp_path / "new" / "state"
    go_on(state, 3)
    state.seconds, state.mean_loss, state.stuck = 12.5, 0.25, 2
    save(path, state)
    go_on(state, 3)
    resumed = new_state(2, recipe=RECIPES[name])
    load(path, resumed)
    assert (resumed.steps, resumed.seconds, resumed.mean_loss, resumed.stuck) == (3, 12.5, 0.25, 2)
    go_on(resumed, 3)
    expected = weights(state)
    assert all(torch.equal(value, expected[key]) for key, value in weights(resumed).items())


def test_a_fresh_state_can_be_saved(tmp_path: Path) -> None:
    state, resumed = new_state(1), new_state(2)
    save(tmp_path / "state", state)
    load(tmp_path / "state", resumed)
    go_on(state, 2)
    go_on(resumed, 2)
    expected = weights(state)
    assert all(torch.equal(value, expected[key]) for key, value in weights(resumed).items())


def test_another_training_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "state", new_state())
    with pytest.raises(InputError, match="other data, settings, seed or version; delete it to start anew"):
        load(tmp_path / "state", new_state(identity="that one"))


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "another"])
def test_a_damaged_file_is_an_error_of_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state"
    save(path, new_state())
    whole = path.read_bytes()
    other = tmp_path / "other"
    from safetensors.torch import save as serialise

    other.write_bytes(serialise({"x": torch.zeros(2)}))
    content = {"empty": b"", "text": b"hello", "truncated": whole[:-9], "another": other.read_bytes()}[damage]
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a checkpoint") as caught:
        load(path, new_state())
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a checkpoint"):
        load(tmp_path, new_state())


def test_where_it_cannot_be_written_the_older_one_stays(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(InputError, match="the checkpoint cannot be written") as caught:
        save(tmp_path / "folder", new_state())  # a folder of that name cannot be replaced
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the checkpoint cannot be written"):
        save(tmp_path / "file" / "state", new_state())


def test_a_full_disk_leaves_the_older_one(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="no limits of this kind on this system")
    path = tmp_path / "state"
    save(path, new_state(1))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(InputError, match="the checkpoint cannot be written"):
            save(path, new_state(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["state"]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    save(tmp_path / "reference", new_state(1))
    whole = (tmp_path / "reference").read_bytes()
    save_and_die = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_checkpoints import new_state, save
os.replace = lambda old, new: os.kill(os.getpid(), signal.SIGKILL)
save(Path({str(tmp_path / "state")!r}), new_state(1))
"""
    assert subprocess.run([sys.executable, "-c", save_and_die], check=False).returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2
    save(tmp_path / "state", new_state(1))
    assert sorted(os.listdir(tmp_path)) == ["reference", "state"]
    assert (tmp_path / "state").read_bytes() == whole


def test_everything_that_decides_a_training_is_in_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = RECIPES["small"]

    def of(
        recipe: Recipe = recipe,
        seed: int = 0,
        pixels: NDArray[np.uint8] = PIXELS,
        labels: NDArray[np.int64] = LABELS,
        groups: NDArray[np.int64] = LABELS,
    ) -> str:
        return fingerprint(recipe, seed, Examples(pixels, labels, groups))

    assert of() == of(replace(recipe), 0, PIXELS.copy(), LABELS.copy(), LABELS.copy())
    all_of_them = {
        of(),
        of(recipe=replace(recipe, dim=65)),
        of(recipe=replace(recipe, warp=replace(recipe.warp, shear=0.1))),
        of(seed=1),
        of(pixels=PIXELS + np.uint8(1)),
        of(labels=LABELS[::-1]),
        of(groups=LABELS[::-1]),
    }
    monkeypatch.setattr(checkpoints, "__version__", "99")
    assert len(all_of_them | {of()}) == 8
