"""Training: it learns, it repeats itself, it survives being killed, and it says so when it goes nowhere."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from conftest import TINY, Small, network_of, train_small
from samekind import training
from samekind.encoders import ENCODERS
from samekind.errors import CollapseError, InputError
from samekind.examples import Examples, Feed
from samekind.export import embed, network_scorer
from samekind.images import Preprocessing
from samekind.losses import LOSSES
from samekind.recipes import RECIPES, Budget, Recipe
from samekind.training import Progress, Trained, build_objective, build_optimiser, runs_bf16, set_rates, train
from samekind.trials import balanced_pairs


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def weights(trained: Trained) -> dict[str, Tensor]:
    return {**trained.encoder.state_dict(), **trained.head.state_dict()}


def equal(left: Trained, right: Trained) -> bool:
    expected = weights(right)
    return all(torch.equal(value, expected[name]) for name, value in weights(left).items())


def unseen_auc(trained: Trained, small: Small) -> float:
    """How well pairs of classes that training never saw are told apart; 0.5 is chance."""
    network = network_of(trained)
    pairs = balanced_pairs(small.held_out, pairs=1000, impostors="any", rng=np.random.default_rng(0))
    embeddings = embed(network, small.held_out.pixels(network.preprocessing))
    return float(roc_auc_score(pairs.same, network_scorer(network, embeddings)(pairs.left, pairs.right)))


def run(
    small: Small,
    recipe: Recipe = TINY,
    *,
    steps: int = 8,
    checkpoint: Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 0.0,
    seed: int = 0,
    seen: list[Progress] | None = None,
) -> Trained:
    return train(
        small.examples,
        recipe=recipe,
        budget=Budget(steps=steps),
        seed=seed,
        checkpoint=checkpoint,
        resume=resume,
        checkpoint_seconds=checkpoint_seconds,
        report=(lambda progress: None) if seen is None else seen.append,
        device="cpu",
    )


# It learns.


def test_what_it_learned_holds_for_unseen_classes(small: Small, trained: Trained) -> None:
    assert unseen_auc(train_small(small, steps=1), small) < 0.8  # the first step has no learning rate yet
    assert unseen_auc(trained, small) > 0.93


@pytest.mark.parametrize("loss", [*LOSSES, "pml:MultiSimilarityLoss"])
def test_every_loss_goes_down(small: Small, loss: str) -> None:
    seen: list[Progress] = []
    trained = run(small, replace(TINY, loss=loss), steps=25, seen=seen)
    assert trained.loss == seen[-1].loss < 0.97 * seen[0].loss
    assert trained.head_name == build_objective(loss, TINY.dim)[2]


def test_what_comes_out(small: Small) -> None:
    trained = run(small, replace(TINY, classes=99), steps=3)
    assert not trained.encoder.training
    assert (trained.steps, trained.images_seen, trained.recipe.classes) == (3, 3 * 40 * 4, 99)
    assert trained.seconds > 0
    assert "CPU" in trained.device
    for value in weights(trained).values():
        assert value.device.type == "cpu"
        assert value.is_contiguous()


def test_colour_images_and_kochs_recipe(small: Small) -> None:
    recipe = replace(RECIPES["koch"], preprocessing=Preprocessing(size=65, channels=1), dim=8, classes=4)
    trained = train(
        Examples.of(small.train, recipe),
        recipe=recipe,
        budget=Budget(steps=2),
        device="cpu",
    )
    assert trained.head_name == "weighted-l1"
    colour = replace(TINY, preprocessing=Preprocessing.for_photos(16))
    run(replace(small, pixels=small.train.pixels(colour.preprocessing)), colour, steps=2)


@pytest.mark.parametrize(("poses", "times"), [({"turns": True}, 4), ({"mirrors": True}, 2)], ids=["turns", "mirrors"])
def test_classes_in_another_pose_are_classes_of_their_own(small: Small, poses: dict[str, bool], times: int) -> None:
    trained = run(small, replace(TINY, **poses, classes=1000), steps=1)  # type: ignore[arg-type]
    assert trained.images_seen == times * 40 * 4, "there are but 40 classes in one pose"


def test_minutes_end_a_training(small: Small) -> None:
    seen: list[Progress] = []
    started = time.monotonic()
    train(
        small.examples,
        recipe=TINY,
        budget=Budget(minutes=0.01),
        report=seen.append,
        device="cpu",
    )
    assert 0.6 <= seen[-1].seconds < time.monotonic() - started < 10
    assert seen[-1].share == 1


def test_progress_is_reported_after_every_step(small: Small) -> None:
    seen: list[Progress] = []
    started = time.monotonic()
    run(small, steps=5, seen=seen)
    assert [p.steps for p in seen] == [1, 2, 3, 4, 5]
    assert [p.share for p in seen] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert all(math.isfinite(p.loss) for p in seen)
    assert 0 < seen[0].seconds < seen[-1].seconds < time.monotonic() - started
    assert seen[-1].images_per_second == pytest.approx(5 * 64 / seen[-1].seconds)


def test_practice_is_drawn_first_and_then_no_more(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    practice = Examples(255 - small.pixels, small.train.labels, small.train.group_labels)
    drawn: list[bool] = []
    draw = Feed.draw

    def noted(feed: Feed) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        batch = draw(feed)
        drawn.append(float(batch[0].mean()) > 0.5)  # ink is 1 and scarce, but in a negative
        return batch

    monkeypatch.setattr(Feed, "draw", noted)
    recipe = replace(TINY, classes=2, images=2, practice=0.5)
    train(small.examples, practice=practice, recipe=recipe, budget=Budget(steps=200), device="cpu")
    of_practice = np.array(drawn)
    assert of_practice[:50].mean() > 0.7
    assert of_practice[-50:].mean() < 0.3
    assert 0.4 < of_practice.mean() < 0.6


# It repeats itself.


def test_the_same_seed_gives_the_same_weights(small: Small) -> None:
    first = run(small, seed=3)
    assert equal(first, run(small, seed=3))
    assert not equal(first, run(small, seed=4))


@pytest.mark.parametrize(
    "change",
    [
        {"within": 0.0},
        {"groups_at_once": 1, "within": 1.0},
        {"classes": 8},
        {"images": 2},
        {"turns": True},
        {"mirrors": True},
        {"chimeras": 0.25},
        {"warp": replace(TINY.warp, shear=0.3)},
        {"learning_rate": 1e-3},
        {"weight_decay": 0.5},
        {"warm_up": 0.5},
        {"optimiser": "koch"},
        {"loss": "triplet"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_choice_of_a_recipe_matters(small: Small, change: dict[str, object]) -> None:
    base = replace(TINY, within=1.0)
    assert not equal(run(small, base, steps=3), run(small, replace(base, **change), steps=3))  # type: ignore[arg-type]


def test_half_precision_changes_the_loss_but_little(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    for bf16 in (False, True):
        monkeypatch.setattr(training, "runs_bf16", lambda place, bf16=bf16: bf16)
        losses.append(run(small, steps=20).loss)
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_half_precision_is_for_devices_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(runs_bf16(torch.device("cpu")), bool)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})
    assert not runs_bf16(torch.device("cpu"))
    assert not runs_bf16(torch.device("meta"))


# It survives.


def test_a_resumed_training_ends_as_an_unbroken_one(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    unbroken = run(small, replace(TINY, within=0.5), steps=8)

    class StopError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.steps == 5:
            raise StopError

    with pytest.raises(StopError):
        train(
            small.examples,
            recipe=TINY,
            budget=Budget(steps=8),
            checkpoint=path,
            checkpoint_seconds=0,
            report=stop,
            device="cpu",
        )
    seen: list[Progress] = []
    resumed = run(small, steps=8, checkpoint=path, resume=True, seen=seen)
    assert [p.steps for p in seen] == [5, 6, 7, 8], "the checkpoint was that of step 4"
    assert equal(resumed, unbroken)
    assert resumed.loss == unbroken.loss
    assert resumed.images_seen == unbroken.images_seen


def test_without_resume_a_checkpoint_is_not_read(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_text("not a checkpoint")
    assert run(small, steps=2, checkpoint=path, checkpoint_seconds=1e9).steps == 2
    with pytest.raises(InputError, match="not a checkpoint"):
        run(small, steps=2, checkpoint=path, resume=True)


def test_there_is_nothing_to_resume_yet(small: Small, tmp_path: Path) -> None:
    assert equal(run(small, checkpoint=tmp_path / "none", resume=True, checkpoint_seconds=1e9), run(small))
    assert not (tmp_path / "none").exists(), "a checkpoint is due only after checkpoint_seconds"
    with pytest.raises(InputError, match="expected the checkpoint to resume from"):
        run(small, resume=True)


def test_the_checkpoint_of_another_training_is_refused(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    run(small, steps=2, checkpoint=path)
    for change in (
        {"seed": 1},
        {"recipe": replace(TINY, dim=8)},
        {"small": replace(small, pixels=255 - small.pixels)},
    ):
        arguments: dict[str, Any] = {"small": small, "checkpoint": path, "resume": True, **change}
        with pytest.raises(InputError, match="of a training with other data, settings, seed"):
            run(**arguments)


CHILD = """
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from samekind.examples import Examples
from samekind.images import Preprocessing
from samekind.recipes import Budget, Recipe
from samekind.training import train

torch.set_num_threads(1)
rng = np.random.default_rng(0)
pixels = rng.integers(0, 256, (60, 1, 16, 16), dtype=np.uint8)
labels = np.repeat(np.arange(20), 3)
out, checkpoint, resume = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "resume"
recipe = Recipe(preprocessing=Preprocessing(size=16), dim=8, classes=16, images=3, turns=True)
trained = train(
    Examples(pixels, labels, labels // 5), practice=Examples(255 - pixels, labels, labels // 5),
    recipe=recipe, budget=Budget(steps=90),
    checkpoint=checkpoint, checkpoint_seconds=0.05, resume=resume, device="cpu",
    report=lambda progress: print(progress.steps, flush=True),
)
save_file(dict(trained.encoder.state_dict()), out)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL here")
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD))

    def start(out: str, resume: str = "anew") -> subprocess.Popen[str]:
        command = [sys.executable, str(script), str(tmp_path / out), str(tmp_path / f"checkpoint-{out}"), resume]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with start("unbroken") as unbroken:
        unbroken.communicate()
    assert unbroken.returncode == 0

    for kill_at in (20, 55):  # twice: a resumed training is killed and resumed as well
        with start("broken", "resume") as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= kill_at and (tmp_path / "checkpoint-broken").exists():
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "broken").exists(), "it was killed before it was done"
    with start("broken", "resume") as process:
        steps = [int(line) for line in process.communicate()[0].split()]
    assert process.returncode == 0
    assert steps[-1] == 90
    assert 1 < steps[0] < 90, "it went on and did not begin anew"
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "unbroken").read_bytes()


# It goes nowhere.


class Constant(nn.Module):
    """Gives the same for every image, whatever it learns."""

    def __init__(self, size: int, channels: int, dim: int) -> None:
        super().__init__()
        self.z = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.z.expand(len(x), -1)


class Narrow(Constant):
    """Embeddings that differ, but by little, so that no loss can tell them apart."""

    def forward(self, x: Tensor) -> Tensor:
        return self.z.detach() + 0.01 * x[:, 0, 6:10, 6:10].flatten(1) + 0 * self.z


class Broken(Constant):
    """Gives no number."""

    def forward(self, x: Tensor) -> Tensor:
        return self.z.expand(len(x), -1) * math.nan


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "supcon", "cross-entropy"])
def test_equal_embeddings_stop_a_training(small: Small, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    monkeypatch.setitem(ENCODERS, "constant", Constant)
    monkeypatch.setattr(training, "WATCH_STEPS", 5)
    with pytest.raises(CollapseError, match=r"all embeddings are equal after 5 steps .* lower the learning rate"):
        run(small, replace(TINY, encoder="constant", loss=loss), steps=20)


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "cross-entropy"])
def test_a_loss_stuck_at_the_margin_stops_a_training(small: Small, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    monkeypatch.setitem(ENCODERS, "narrow", Narrow)
    monkeypatch.setattr(training, "WATCH_STEPS", 4)
    seen: list[Progress] = []
    with pytest.raises(CollapseError, match=r"the loss is stuck at 0\.\d+.*change the learning rate"):
        run(
            small, replace(TINY, encoder="narrow", loss=loss, optimiser="koch", learning_rate=1e-9), steps=99, seen=seen
        )
    assert seen[-1].steps == 4 * training.STUCK_LOOKS - 1, "not at the first look"


def test_a_loss_that_is_no_number_stops_a_training(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "broken", Broken)
    with pytest.raises(CollapseError, match="the loss is nan after 1 steps; lower the learning rate"):
        run(small, replace(TINY, encoder="broken"), steps=20)


def test_a_learning_rate_far_too_high_stops_a_training(small: Small) -> None:
    with pytest.raises(CollapseError, match="lower the learning rate"):
        run(small, replace(TINY, learning_rate=1e30, warm_up=0.0), steps=500)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_healthy_training_is_not_stopped(small: Small, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    monkeypatch.setattr(training, "WATCH_STEPS", 5)  # far more often than in earnest
    assert run(small, replace(TINY, loss=loss), steps=40).steps == 40


# Its parts.


def test_rates_of_the_cosine_schedule() -> None:
    recipe = replace(TINY, learning_rate=0.4, warm_up=0.1)
    optimiser = build_optimiser(recipe, nn.Linear(2, 2))
    rates = []
    for share in (0.0, 0.05, 0.1, 0.5, 1.0):
        set_rates(optimiser, recipe, share, passes=7)
        assert len({group["lr"] for group in optimiser.param_groups}) == 1
        rates.append(optimiser.param_groups[0]["lr"])
    cosine = [0.2 * (1 + math.cos(math.pi * share)) for share in (0.05, 0.1, 0.5, 1.0)]
    assert rates == pytest.approx([0, cosine[0] / 2, *cosine[1:]])
    set_rates(optimiser, replace(recipe, warm_up=0.0), 0.0, passes=0)
    assert optimiser.param_groups[0]["lr"] == 0.4


def test_rates_of_kochs_schedule() -> None:
    recipe = replace(TINY, optimiser="koch", learning_rate=0.1)
    optimiser = build_optimiser(recipe, nn.Linear(2, 2))
    for share, passes, rate, momentum in (
        (0.0, 0.0, 0.1, 0.5),
        (0.25, 0.99, 0.1, 0.6),
        (0.5, 1.0, 0.099, 0.7),
        (1.0, 10.5, 0.1 * 0.99**10, 0.9),
    ):
        set_rates(optimiser, recipe, share, passes=passes)
        for group in optimiser.param_groups:
            assert (group["lr"], group["momentum"]) == pytest.approx((rate, momentum))


@pytest.mark.parametrize("name", ["adamw", "koch"])
def test_vectors_are_not_decayed(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    optimiser = build_optimiser(replace(TINY, optimiser=name, weight_decay=0.25), network)
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert [decays[id(p)] for p in network.parameters()] == [0.25 if p.ndim > 1 else 0 for p in network.parameters()]


def test_unknown_names_list_the_known_ones(small: Small) -> None:
    with pytest.raises(InputError, match=r"unknown loss 'l'; expected one of contrastive, triplet, .* or pml:NAME"):
        run(small, replace(TINY, loss="l"))
    with pytest.raises(InputError, match="unknown optimiser 'sgd'; expected adamw or koch"):
        run(small, replace(TINY, optimiser="sgd"))


def test_data_of_wrong_shape_is_an_error(small: Small) -> None:
    with pytest.raises(InputError, match=r"expected pixels \(N, 1, 32, 32\) uint8"):
        run(small, replace(TINY, preprocessing=Preprocessing(size=32)))
    with pytest.raises(InputError, match="expected 3 labels and groups"):
        run(replace(small, pixels=small.pixels[:3]))
