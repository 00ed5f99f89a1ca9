"""Queries of an image retrieval, labelled with the gallery images of their class."""
from typing import Any, List, Union

import numpy as np
import torch
from mmengine.dataset import BaseDataset

from lbbt_mm.registry import DATASETS
from .dataset_view import DatasetView


@DATASETS.register_module()
class RetrievalQueries(DatasetView):
    """A classification dataset whose labels are gallery indices, as mmpretrain's retrieval metrics ask for.

    mmpretrain's ``RetrievalRecall`` and ``RetrievalAveragePrecision`` read ``gt_label`` as the indices of the relevant
    gallery images. Here those are the gallery's images of the query's class.

    Args:
        dataset: The queries, a dataset or its config; its pipeline ends in ``PackInputs``.
        gallery: The images to be retrieved, a dataset or its config: the same as in the retriever's ``prototype``. Only its
            labels are read. It may not hold the queries, which would find themselves first.

    Raises:
        ValueError: If queries and gallery name different classes, or an image is in both.
    """

    def __init__(self, dataset: Union[dict, BaseDataset], gallery: Union[dict, BaseDataset]) -> None:
        self.gallery = gallery if isinstance(gallery, BaseDataset) else DATASETS.build(gallery)
        super().__init__(dataset, lazy_init=True)

    def _prepare(self) -> None:
        """Group the gallery by class."""
        self.gallery.full_init()
        classes, gallery_classes = (part.metainfo.get('classes') for part in (self.dataset, self.gallery))
        if classes is not None and gallery_classes is not None and tuple(classes) != tuple(gallery_classes):
            raise ValueError(f'RetrievalQueries: {len(classes)} query classes, {len(gallery_classes)} gallery classes, or '
                             'other names; expected the same classes in the same order. Check the two data_prefix.')
        own = set(_paths(self.dataset)) & set(_paths(self.gallery))
        if own:
            raise ValueError(f'RetrievalQueries: {len(own)} images are query and gallery, among them {min(own)}; expected '
                             'none, as each would find itself first. Give another data_prefix or split.')
        labels = np.array([self.gallery.get_data_info(index)['gt_label'] for index in range(len(self.gallery))])
        self._relevant = {int(label): torch.from_numpy(np.flatnonzero(labels == label)) for label in np.unique(labels)}

    def prepare_data(self, idx: int) -> Any:
        """Load a query through its pipeline."""
        query = self.dataset[idx]
        label = int(self.get_data_info(idx)['gt_label'])
        query['data_samples'].set_gt_label(self._relevant.get(label, torch.zeros(0, dtype=torch.long)))
        return query


def _paths(dataset: BaseDataset) -> List[str]:
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    return [info['img_path'] for info in infos if 'img_path' in info]
