"""Make an image-caption set out of the emoji of Noto Color Emoji, with names in many languages."""
import sys

from lbbt_mm.data_makers.emoji_to_captions import main
from lbbt_mm.launch.user_errors import run_tool

if __name__ == '__main__':
    sys.exit(run_tool(main))
