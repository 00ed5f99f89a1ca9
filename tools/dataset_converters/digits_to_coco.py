"""Make a detection set in the COCO layout from scikit-learn's real handwritten digits, scattered on canvases."""
import sys

from lbbt_mm.data_makers.digits_to_coco import main
from lbbt_mm.launch.user_errors import run_tool

if __name__ == '__main__':
    sys.exit(run_tool(main))
