"""What a user would write with pytorch-metric-learning in as many minutes, measured as ours is.

Four convolution blocks of 64 at 32 x 32 pixels, its sampler with 4 images a class, batches of 256, its loss with
default arguments, a random affine warp by Pillow in two loader workers, Adam at 1e-3. Images are decoded and scaled
once, before the clock starts, and it stands still while the network is measured. The threshold is set on held-out
classes, the same ones as ours.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_metric_learning import losses, samplers
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from results import arguments, keep
from samekind import LabelledImages, Preprocessing, load, run, split_classes
from samekind.building import HELD_OUT
from samekind.calibration import calibrate
from samekind.protocols import PROTOCOLS, Model, PairScorer, embedding_scorer
from samekind.similarity import cosine
from samekind.trials import balanced_pairs

PREPROCESSING = Preprocessing(size=32)
BATCH, IMAGES_A_CLASS = 256, 4


@dataclass(frozen=True)
class Warped(Dataset[tuple[Tensor, int]]):
    """Images (N, 1, 32, 32) uint8, dark ink on white, each warped anew whenever it is asked for."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        turn, shear = math.radians(np.random.uniform(-10, 10)), np.random.uniform(-0.3, 0.3)
        wide, high = np.random.uniform(0.8, 1.2, 2)
        across, down = np.random.uniform(-2.5, 2.5, 2)
        matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        matrix = matrix @ np.array([[1, shear], [0, 1]]) @ np.diag([1 / wide, 1 / high])
        centre = (PREPROCESSING.size - 1) / 2
        shift = centre - matrix @ (centre - np.array([across, down]))
        warped = Image.fromarray(self.pixels[index, 0]).transform(
            (PREPROCESSING.size, PREPROCESSING.size),
            Image.Transform.AFFINE,
            (*matrix[0], shift[0], *matrix[1], shift[1]),
            resample=Image.Resampling.BILINEAR,
            fillcolor=255,
        )
        normalised = PREPROCESSING.normalise(np.asarray(warped, dtype=np.uint8)[None])
        return torch.from_numpy(normalised), int(self.labels[index])


def seed_worker(worker: int) -> None:
    """Loader workers share NumPy's global state at the start; tell them apart."""
    np.random.seed(torch.initial_seed() % 2**32)


def block(inputs: int) -> nn.Sequential:
    """Convolution to 64 channels, batch norm, ReLU, pooling."""
    return nn.Sequential(nn.Conv2d(inputs, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2))


def embed(network: nn.Module, data: LabelledImages) -> NDArray[np.float32]:
    """(N, 256) float32."""
    pixels = torch.from_numpy(PREPROCESSING.normalise(data.pixels(PREPROCESSING)))
    with torch.inference_mode():
        return np.concatenate([network(pixels[at : at + BATCH]).numpy() for at in range(0, len(pixels), BATCH)])


def fit(
    network: nn.Module, data: LabelledImages, *, loss: nn.Module, minutes: Sequence[float]
) -> Iterator[tuple[float, int]]:
    """Train, and stop the clock after each of these times: (minute, steps so far)."""
    sampler = samplers.MPerClassSampler(data.labels, m=IMAGES_A_CLASS, batch_size=BATCH, length_before_new_iter=100_000)
    warped = Warped(data.pixels(PREPROCESSING), data.labels)
    loader = DataLoader(
        warped, batch_size=BATCH, sampler=sampler, num_workers=2, worker_init_fn=seed_worker, drop_last=True
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()
    looks = deque(sorted(minutes))
    steps, started = 0, time.monotonic()
    while True:
        for images, labels in loader:
            optimiser.zero_grad()
            loss(network(images), labels).backward()
            optimiser.step()
            steps += 1
            stopped = time.monotonic()
            if stopped - started >= 60 * looks[0]:
                network.eval()
                yield looks.popleft(), steps
                network.train()
                if not looks:
                    return
                started += time.monotonic() - stopped


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--loss", choices=["ContrastiveLoss", "SupConLoss"], default="ContrastiveLoss", help="which")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 2.0, 3.0, 4.0, 5.0], help="to look after")
    parser.add_argument("--seed", type=int, default=0, help="of split, weights, batches and warps")
    given = parser.parse_args()
    np.random.seed(given.seed)  # the library's sampler draws from the global generator
    torch.manual_seed(given.seed)
    split = split_classes(load("omniglot:background").images, HELD_OUT, rng=np.random.default_rng(given.seed))
    network = nn.Sequential(block(1), block(64), block(64), block(64), nn.Flatten())

    def scorer_of(data: LabelledImages) -> PairScorer:
        return embedding_scorer(embed(network, data), cosine)

    pairs = balanced_pairs(split.held_out, pairs=10_000, impostors="any", rng=np.random.default_rng(0))
    tests = {name: load(PROTOCOLS[name].data).images for name in ("koch", "lake")}
    looks = []
    for minute, steps in fit(network, split.train, loss=getattr(losses, given.loss)(), minutes=given.minutes):
        scores = scorer_of(split.held_out)(pairs.left, pairs.right)
        labels, name = split.held_out.labels, split.held_out.name
        calibration = calibrate(scores, labels[pairs.left], labels[pairs.right], data=name)
        model = Model(scorer_of, threshold=calibration.threshold, llr=calibration.llr)
        measured = {name: run(name, model, data=data, seed=given.seed).metrics for name, data in tests.items()}
        looks.append(
            {
                "minutes": minute,
                "steps": steps,
                "images_per_second": steps * BATCH / (60 * minute),
                "koch accuracy": measured["koch"]["accuracy"].value,
                "lake error": measured["lake"]["error"].value,
            }
        )
    keep(given.out, {"loss": given.loss, "seed": given.seed, "looks": looks})


if __name__ == "__main__":
    main()
