"""Turn Caltech-256, as it is distributed, into an ImageFolder with ``train/`` and ``test/``."""
import sys

from lbbt_mm.data_makers.caltech256_to_imagefolder import main
from lbbt_mm.launch.user_errors import run_tool

if __name__ == '__main__':
    sys.exit(run_tool(main))
