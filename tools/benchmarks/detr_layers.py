"""Time LanguageDETR's transformer against mmdet's DETR layers: same sizes, inputs, weights and dropouts, call by call."""
import sys

from harness import LAYER_ROWS, Comparison, Row, require_multiple

from lbbt_mm.argument_types import count, size_pair

BENCHMARK = Comparison(
    'detr_layers', __doc__, repeats=4, sides='detr_sides',
    rows={
        **LAYER_ROWS,
        'infer': Row('inference fp32', False, False, 1.2),
        'infer-bf16': Row('inference bf16', False, True, 10., dict(padded=False)),
        # each with its own dropouts, activation, and number of layers: twice as many, so that its calls take twice as long
        'shipped': Row('our shipped config against the stock one, training fp32', True, False, None,
                       dict(shipped=True, padded=False), share=0.5),
    },
    sizes=dict(
        layers=(count, 6, 'of encoder and of decoder; twice that in the shipped row'),
        width=(count, 768, 'a multiple of 64, the width of a head'),
        batch=(count, 2, 'images'),
        tokens=(size_pair, '25x42', 'feature map of an image'),
        queries=(count, 100, 'object queries')),
    check=lambda parser, args: require_multiple(parser, args, width=64))

if __name__ == '__main__':
    sys.exit(BENCHMARK.run())
