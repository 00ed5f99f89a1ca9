"""Language Bias Bridge Training, both stages: the bridge on random labels, then probes on its backbone."""
import sys

from lbbt_mm.experiments.lbbt import main

if __name__ == '__main__':
    sys.exit(main())
