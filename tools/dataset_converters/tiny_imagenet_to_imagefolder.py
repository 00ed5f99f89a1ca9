"""Turn TinyImageNet-200, as it is distributed, into an ImageFolder with ``train/`` and ``test/``."""
from lbbt_mm.data_makers.tiny_imagenet_to_imagefolder import main

if __name__ == '__main__':
    main()
