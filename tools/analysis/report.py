"""All figures of finished runs in one page, report.html."""
import sys

from lbbt_mm.figures.report import main

if __name__ == '__main__':
    sys.exit(main())
