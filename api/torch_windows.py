"""Windows for PyTorch's data loader. Imported only if PyTorch is there."""

from collections.abc import Iterator

import torch  # pyright: ignore[reportMissingImports]  nothing else needs it
from torch.utils.data import IterableDataset, get_worker_info  # pyright: ignore[reportMissingImports]

from .windows import Window, Windows


class TorchWindows(IterableDataset[Window]):
    """Windows as tensors, an epoch at a time; see `Dataset.torch`.

    The tensors of a window share their memory with the clip. In a data loader with workers, each reads its own part of
    the clips. The random order follows `torch.manual_seed` and is another one in every epoch.
    """

    def __init__(self, windows: Windows, *, shuffle: bool) -> None:
        super().__init__()
        self.windows, self.shuffle = windows, shuffle

    def __len__(self) -> int:
        """Number of windows of an epoch."""
        return len(self.windows)

    def __iter__(self) -> Iterator[Window]:
        worker = get_worker_info()
        part, parts = (0, 1) if worker is None else (worker.id, worker.num_workers)
        seed = None
        if self.shuffle:
            # a loader gives its workers consecutive seeds from one that it draws for every epoch
            seed = int(torch.randint(2**62, ())) if worker is None else worker.seed - worker.id
        for window in self.windows.epoch(seed=seed, part=part, parts=parts):
            yield {key: value if isinstance(value, int) else torch.from_numpy(value) for key, value in window.items()}
