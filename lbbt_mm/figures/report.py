"""All figures of finished runs in one page, report.html: a file to open or to send, with figures and tables inside it.

  tools/analysis/report.py EXPERIMENT
  tools/analysis/report.py language=RUN0 language=RUN1 random=RUN0 random=RUN1 --out FOLDER
  tools/analysis/report.py EXPERIMENT --sections results curves alignment

EXPERIMENT is a folder that compare_arms.py wrote: its results, and the runs that it compared; compare_arms.py --report
does the same. RUN is the folder of a run; runs under one label are seeds of one arm. A section is one of the tools beside
this one, with small settings: landscape, hessian and outliers look at the first run of each label. For more, run the tool
itself. What cannot be made is listed at the end of the page, with the reason. There is gsnr where runs had lbbt_mm.GSNRHook;
of runs with a rectifier activation and outliers are about the backbone, which the arms have in common.

Written to --out: report.html; the sections' own files in report/SECTION/, where what is done is not done again.
"""
import argparse
from typing import Optional, Sequence

from lbbt_mm import argument_types
from .arguments import device, output_folder, run_figure

#: In the order of the page; see :mod:`lbbt_mm.figures.report_sections`.
SECTIONS = ('results', 'curves', 'gsnr', 'separability', 'activation', 'outliers', 'alignment', 'landscape', 'hessian')


def parse_args(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_types.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='[LABEL=]RUN', help='or the folder of one experiment')
    parser.add_argument('--sections', nargs='+', choices=SECTIONS, metavar='SECTION',
                        help=f'of {", ".join(SECTIONS)}; default: all that these runs can have')
    parser.add_argument('--max-samples', type=argument_types.count, default=256, metavar='N',
                        help='images that models are run on; landscape takes at most 32, hessian 16; default: %(default)s')
    parser.add_argument('--only', nargs='+', metavar='PATTERN',
                        help="tensors that outliers counts, as 'backbone.*'; default: all, of runs with a rectifier those "
                        'of the backbone')
    parser.add_argument('--device', type=device, default='cpu', help='default: %(default)s')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='override settings of every config, as in tools/train.py')
    parser.add_argument('--out', type=output_folder,
                        help='folder for the page, whose report.html and report/ are replaced only where this tool wrote '
                        'them; default: the folder of the experiment, else work_dirs/analysis/report')
    return parser.parse_args(arguments)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit status."""
    return run_figure(lambda: parse_args(arguments), 'report_sections')


if __name__ == '__main__':
    import sys
    sys.exit(main())
