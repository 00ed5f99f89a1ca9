"""Turn TinyImageNet-200, as it is distributed, into an ImageFolder with ``train/`` and ``test/``."""
import sys

from lbbt_mm.data_makers.tiny_imagenet_to_imagefolder import main
from lbbt_mm.launch.user_errors import run_tool

if __name__ == '__main__':
    sys.exit(run_tool(main))
