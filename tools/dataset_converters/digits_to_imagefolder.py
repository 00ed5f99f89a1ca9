"""Write scikit-learn's real handwritten digits as an ImageFolder: train/DIGIT/0000.png and test/DIGIT/0000.png."""
import sys

from lbbt_mm.data_makers.digits_to_imagefolder import main
from lbbt_mm.launch.user_errors import run_tool

if __name__ == '__main__':
    sys.exit(run_tool(main))
