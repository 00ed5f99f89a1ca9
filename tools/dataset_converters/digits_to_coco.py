"""Make a detection set in the COCO layout from scikit-learn's real handwritten digits, scattered on canvases."""
from lbbt_mm.data_makers.digits_to_coco import main

if __name__ == '__main__':
    main()
