"""Write scikit-learn's real handwritten digits as an ImageFolder: train/DIGIT/0000.png and test/DIGIT/0000.png."""
from lbbt_mm.data_makers.digits_to_imagefolder import main

if __name__ == '__main__':
    main()
