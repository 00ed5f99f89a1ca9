"""``make fuzz``: many damaged checkpoints, and what did not keep the rule."""
import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.progress import track

from .fuzzer import Fuzzer


def main() -> int:
    """Run the cases and print how many were opened, refused, and outside the rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', type=int, default=10_000)
    parser.add_argument('--seed', type=int, default=0, help='the first case; case N is the same whatever comes before')
    args = parser.parse_args()
    counts, broken = Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder))
        for seed in track(range(args.seed, args.seed + args.cases), 'opening'):
            outcome = fuzzer.run(seed)
            counts[outcome.kind] += 1
            if outcome.kind not in ('opened', 'refused'):
                broken.append(outcome)
    print(f'{args.cases} cases: ' + ', '.join(f'{count} {kind}' for kind, count in counts.most_common()) +
          f'; slowest {fuzzer.slowest:.2f} s, most memory {fuzzer.largest / 2**20:.0f} MiB')
    for outcome in broken[:20]:
        print(outcome)
    return int(bool(broken))


if __name__ == '__main__':
    sys.exit(main())
