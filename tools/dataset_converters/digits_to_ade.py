"""Make a segmentation set in the ADE20K layout from scikit-learn's real handwritten digits, scattered on canvases."""
import sys

from lbbt_mm.data_makers.digits_to_ade import main
from lbbt_mm.launch.user_errors import run_tool

if __name__ == '__main__':
    sys.exit(run_tool(main))
