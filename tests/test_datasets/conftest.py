"""What tests of class names and of templates share."""
import json
from pathlib import Path

import pytest


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """The package clip-benchmark, as far as it is read; it must not be imported, since that would import torchvision."""
    folder = tmp_path / 'site' / 'clip_benchmark' / 'datasets'
    folder.mkdir(parents=True)
    (folder.parent / '__init__.py').write_text('raise RuntimeError("must not be imported")')
    for name, content in dict(
            en_classnames=dict(birds=['duck', 'owl'], odd=['duck', '']), jp_classnames=dict(birds=['アヒル', 'フクロウ']),
            en_zeroshot_classification_templates=dict(birds=['a photo of {c}.', '{c}'], own={'duck': ['a duck']}),
            jp_zeroshot_classification_templates=dict(birds=['{c}の写真'])).items():
        (folder / f'{name}.json').write_text(json.dumps(content), encoding='utf-8')
    monkeypatch.setattr('sys.path', [str(tmp_path / 'site')])
    return folder
