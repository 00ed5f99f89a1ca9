"""A subset that is spread over the whole dataset."""
from typing import Any, Dict, List, Union

from mmengine.dataset import BaseDataset, force_full_init

from lbbt_mm.argument_checks import check_count
from lbbt_mm.registry import DATASETS
from .dataset_view import DatasetView


def even_indices(size: int, most: int) -> List[int]:
    """Which samples of a dataset are evenly spaced.

    Args:
        size: Of the dataset.
        most: How many to take; all where there are fewer.
    """
    number = min(most, size)
    return [index * size // number for index in range(number)]


@DATASETS.register_module()
class EvenSubset(DatasetView):
    """Evenly spaced samples of a dataset; class-balanced where the dataset is sorted by class, as an ImageFolder is.

    Unlike with ``indices=``, a sample keeps its ``sample_idx`` of the dataset inside, so random labels stay the same
    with every key. A training sample that cannot be loaded is replaced by another one of the subset.

    Args:
        dataset: Any dataset with mmengine's interface, wrappers included, or its config.
        num_samples: Size of the subset.
        at_most: Whether a dataset with fewer samples is taken whole, for configs that fit any dataset. Defaults to False:
            fewer samples are an error.
        lazy_init: Leave reading annotations to :meth:`full_init`. Defaults to False.

    Raises:
        ValueError: If ``num_samples`` is not a whole number of at least 1, or the dataset has fewer and not ``at_most``.
        TypeError: If the dataset lacks mmengine's interface.
    """

    def __init__(self,
                 dataset: Union[BaseDataset, Dict[str, Any]],
                 num_samples: int,
                 at_most: bool = False,
                 lazy_init: bool = False) -> None:
        check_count('EvenSubset: num_samples', num_samples)
        self.num_samples = num_samples
        self.at_most = at_most
        super().__init__(dataset, lazy_init)

    def _check_inner(self) -> None:
        missing = [name for name in ('full_init', 'get_data_info', 'metainfo') if not hasattr(self.dataset, name)]
        if missing:
            raise TypeError(f'EvenSubset: dataset is a {type(self.dataset).__name__} without {missing[0]}; expected a '
                            "dataset with mmengine's interface, or its config.")

    def _prepare(self) -> None:
        size = len(self.dataset)
        if self.num_samples > size and not self.at_most:
            raise ValueError(f'EvenSubset: num_samples={self.num_samples}, but {type(self.dataset).__name__} has {size} '
                             f'samples. Set num_samples to {size} or less, or at_most=True to take all of them.')
        self._indices = even_indices(size, self.num_samples)

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample, as the dataset inside has it."""
        return self.dataset.get_data_info(self._indices[idx])

    @force_full_init
    def get_cat_ids(self, idx: int) -> List[int]:
        """Labels of a sample, which ``ClassBalancedDataset`` asks for; the pipeline is bypassed."""
        if hasattr(self.dataset, 'get_cat_ids'):
            return self.dataset.get_cat_ids(self._indices[idx])
        return super().get_cat_ids(idx)

    def prepare_data(self, idx: int) -> Any:
        """Load a sample through the pipeline; None if that fails."""
        if isinstance(self.dataset, BaseDataset):
            return self.dataset.prepare_data(self._indices[idx])
        return self.dataset[self._indices[idx]]  # mmengine's wrappers have no pipeline and look for substitutes themselves

    @force_full_init
    def __len__(self) -> int:
        return len(self._indices)
