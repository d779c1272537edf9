"""The modules of the site; somebody's own computations beside them are as they like."""

from __future__ import annotations

from compute.computations import OURS
from tests.processes import ROOT

OTHERS = {
    path
    for path in ROOT.glob("compute/computations/**/*.py")
    if path.relative_to(ROOT / "compute/computations").parts[0].removesuffix(".py")
    not in ("__init__", *OURS)
}
PRODUCT = sorted({*ROOT.glob("compute/**/*.py"), *ROOT.glob("sumsite/**/*.py")} - OTHERS)
