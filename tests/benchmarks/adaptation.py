"""What fine-tuning a network on each scene brings; prints a Markdown table.

    python -m tests.benchmarks.adaptation --data DATA [--seconds 30] [--network gcpnet]

The scenes are those that training is validated on, each with its truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pancli.adaptation import LOSSES, AdaptTerms, adapt
from pancli.device import CPU
from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod
from pancli.networks.weights import shipped
from pancli.training.reading import read_recipe
from pancli.training.validation import Case, load_cases, measure

RECIPE = Path(__file__).parents[2] / "weights" / "gcpnet.toml"


def main() -> None:
    """Adapt to every scene, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--network", default="gcpnet")
    asked = parser.parse_args()
    method = NetworkMethod.load(shipped()[asked.network], CPU)
    titles = ["scene", "as shipped: PSNR / SAM", *(f"{loss}: PSNR / SAM (steps, kept)" for loss in LOSSES)]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for number, case in enumerate(load_cases(read_recipe(RECIPE).validation, asked.data), start=1):
        cells = [_figures(method, case)]
        for loss in LOSSES:
            terms = AdaptTerms(asked.seconds, loss, method.contract.back_projections)
            adapted, found = adapt(method, case.scene, terms)
            kept = "yes" if found.kept else "no"
            cells.append(f"{_figures(adapted, case)} ({found.steps}, {kept})")
        print(f"| {number}: {case.group} | {' | '.join(cells)} |", flush=True)


def _figures(method: NetworkMethod, case: Case) -> str:
    (found,) = measure(with_rounds(method, None), [case]).values()
    return f"{found.psnr:.2f} / {found.sam:.2f}"


if __name__ == "__main__":
    main()
