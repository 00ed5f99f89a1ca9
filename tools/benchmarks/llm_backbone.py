"""Time LLMBackbone against timm's ViT and transformers' GPT2Model and LlamaModel: same sizes, images and weights.

All dropout rates are zero, and weights are float32; the bf16 rows run under autocast. Beside transformers' models both sides
are causal and embed patches themselves; theirs get them as `inputs_embeds` and compute attention with SDPA.
"""
import argparse
import importlib.util
import sys

from harness import Comparison, Row, require_multiple

from lbbt_mm.argument_types import count

# Family of the comparison -> its name, and how many times as fast ours is meant to be in training; inference has no target.
FAMILIES = {'vit': ("GPT-2 small's sizes as a ViT", 1.), 'gpt2': ('GPT-2 small', 1.1), 'smollm2': ('SmolLM2', 1.)}


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse sizes that cannot be, and rows whose rival is not installed."""
    require_multiple(parser, args, image=16)
    if any(name.startswith('vit') for name in args.rows) and importlib.util.find_spec('timm') is None:
        parser.error('the vit rows need timm, which is not installed. Run `make bench`, install requirements/bench.txt, or '
                     'choose other --rows.')


BENCHMARK = Comparison(
    'llm_backbone', __doc__, repeats=6, sides='llm_backbone_sides', check=check,
    rows={
        f'{family}-{"train" if training else "infer"}{"-bf16" if bf16 else ""}':
        Row(f'{title}, {"training" if training else "inference"} {"bf16" if bf16 else "fp32"}', training, bf16,
            wanted if training else None, dict(family=family))
        for family, (title, wanted) in FAMILIES.items() for training in (True, False) for bf16 in (False, True)
    },
    sizes=dict(
        layers=(count, 12, "of all models; 12 of SmolLM2's 30 save time"),
        image=(count, 224, 'height and width, a multiple of 16, which is a patch'),
        batch=(count, [4, 16], 'images a step; each row is measured with each of these')))

if __name__ == '__main__':
    sys.exit(BENCHMARK.run())
