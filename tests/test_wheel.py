"""The built wheel, alone in an empty folder, has all it needs: weights included."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pancli.networks.weights import shipped

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_sharpens_with_its_own_weights(tmp_path):
    wheels, site, empty = (tmp_path / name for name in ("wheels", "site", "empty"))
    empty.mkdir()
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        wheels,
        ROOT,
    ]
    subprocess.run(build, check=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        names = archive.namelist()
    assert {f"pancli/weights/{path.name}" for path in shipped().values()} <= set(names)
    templates = (ROOT / "pancli" / "comparing" / "templates").iterdir()
    assert {"pancli/py.typed", *(f"pancli/comparing/templates/{path.name}" for path in templates)} <= set(
        names
    )
    assert not [name for name in names if name.startswith(("tests/", "samples/"))]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pancli, torch\n"
        "assert pancli.__file__.startswith(sys.argv[1]), pancli.__file__\n"
        "from pancli.sharpening import SharpenOptions, sharpen\n"
        "west, south = 500000, 5000000 - 32\n"
        "options = SharpenOptions(bbox=(west, south, west + 32, south + 32))\n"
        "print(sharpen(sys.argv[2], [sys.argv[3]], 'fused.tif', options).method)"
    )
    samples = [ROOT / "samples" / name for name in ("pan.tif", "ms.tif")]
    command = [sys.executable, "-c", code, site, *samples]
    done = subprocess.run(command, cwd=empty, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "bandset"
    assert (empty / "fused.tif").exists()
