"""Which language model's features are tied to images best, by one protocol, and does how well it models language say so?"""
import sys

from lbbt_mm.zero_shot.compare_text_encoders import main

if __name__ == '__main__':
    sys.exit(main())
