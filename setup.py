"""Package metadata. The mm codebases are extras: an environment has the upstream family or the maintained one."""
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'lbbt_mm' / 'version.py').read_text())[1]

# mmsegmentation imports ftfy and regex without asking for them.
# mmpretrain, which mmdet imports, breaks with later transformers: the upstream one from 4.49 on, the maintained from 5.
UPSTREAM = {
    'det': ['mmengine>=0.10', 'mmcv>=2.1,<2.2', 'mmdet>=3.3,<4', 'transformers<4.49'],
    'seg': ['mmengine>=0.10', 'mmcv>=2.1,<2.2', 'mmsegmentation>=1.2,<2', 'ftfy', 'regex'],
    'cls': ['mmengine>=0.10', 'mmcv>=2.1,<2.2', 'mmpretrain>=1.2,<2', 'transformers<4.49'],
}
MAINTAINED = [
    'onedl-mmengine>=0.10.12', 'onedl-mmcv>=2.3', 'onedl-mmdetection>=3.5', 'onedl-mmsegmentation>=1.4',
    'onedl-mmpretrain>=1.3', 'transformers>=4.53,<5',
    'ftfy', 'regex'
]
# Two of tools/analysis/ need one each: clusters, and products with the Hessian (Python 3.10 and later)
ANALYSIS = ['scikit-learn>=1.3', 'curvlinops-for-pytorch>=3,<4']
# Its 1.2.0 on the index lacks a module, and 1.1.0 asks for mmcv below 2.1
VIDEO = ['mmaction2>=1.1', 'opencv-python>=4.5']
# Caption data in tar shards
CAPTIONS = ['webdataset>=0.2.86,<2']


class BuildWithConfigs(build_py):
    """Ships configs, tools and model index in the package, in ``.mim``, where mm projects keep them."""

    def run(self) -> None:
        """Build, then copy them."""
        super().run()
        if not self.editable_mode:
            inside = Path(self.build_lib, 'lbbt_mm', '.mim')
            for name in ('configs', 'tools'):
                shutil.copytree(HERE / name, inside / name, dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns('__pycache__', 'benchmarks', 'doctor', 'install.sh'))
            shutil.copy(HERE / 'model-index.yml', inside)


setup(
    name='lbbt_mm',
    version=VERSION,
    description='Language-pretrained transformer blocks for mmpretrain, mmdet and mmsegmentation',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    packages=find_packages(include=['lbbt_mm', 'lbbt_mm.*']),
    python_requires='>=3.9,<3.13',
    install_requires=[
        'torch>=2.6', 'transformers>=4.46,<6', 'huggingface_hub>=0.25', 'safetensors>=0.4.3', 'gguf>=0.10',
        'numpy>=1.23,<2.4', 'orjson>=3.9', 'rich>=12', 'pandas>=1.5', 'scipy>=1.9', 'matplotlib>=3.5'
    ],
    cmdclass=dict(build_py=BuildWithConfigs),
    extras_require={
        **UPSTREAM,
        'all': sorted({requirement for extra in UPSTREAM.values() for requirement in extra}),
        'onedl': MAINTAINED,
        'analysis': ANALYSIS,
        'video': VIDEO,
        'captions': CAPTIONS,
    })
