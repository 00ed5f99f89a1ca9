"""Make a segmentation set in the ADE20K layout from scikit-learn's real handwritten digits, scattered on canvases."""
from lbbt_mm.data_makers.digits_to_ade import main

if __name__ == '__main__':
    main()
