"""Running a plan: tiles are read ahead, fused, and written behind, each in its own thread."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pancli.adaptation import Adaptation, AdaptTerms, adapt
from pancli.device import find_device, shortage_told, using_threads
from pancli.encoding import Encoding
from pancli.fill import untold_fill
from pancli.methods.alignment import NOWHERE, Shift
from pancli.methods.back_projection import BackProjected
from pancli.methods.measured import Measured
from pancli.methods.network import NetworkMethod, NetworkState
from pancli.methods.protocol import Method, TileImage
from pancli.methods.turns import in_turn
from pancli.progress import Progress
from pancli.raster.names import Name
from pancli.raster.output import Output, atomic_output
from pancli.sharpening.memory import each_tile, fit_in_memory
from pancli.sharpening.options import SharpenOptions
from pancli.sharpening.plan import UNTOLD, Plan, plan_sharpening
from pancli.sharpening.report import SharpenReport, report_of

_WRITE_BEHIND = 2
_MANY_CLIPPED = 0.01  # of the numbers: worth a warning where another type was asked for
_FEW_LEFT = 8  # whole numbers that hold next to nothing of an image: reflectance of glint may reach some


@dataclass
class _Tally:
    """What was written: valid pixels, numbers that a type asked for could not hold.

    Where it rounds fractions, also between which numbers all lay.
    """

    valid: int = 0
    clipped: int = 0
    least: float = math.inf
    most: float = -math.inf

    def widen(self, numbers: Tensor) -> None:
        """Note between which numbers these lie."""
        if numbers.numel():
            low, high = torch.aminmax(numbers)
            self.least, self.most = min(self.least, float(low)), max(self.most, float(high))

    def told(self, plan: Plan) -> list[str]:
        """Warnings."""
        if not self.valid:
            return ["no pixel is valid in PAN and in MS, nor in the output; check nodata and masks"]
        share = self.clipped / (self.valid * len(plan.spec.bands))
        if share <= _MANY_CLIPPED:
            return self._rounded_away(plan.spec.dtype)
        kind = plan.spec.dtype if plan.spec.bits is None else f"{plan.spec.bits} bits"
        return [f"{share:.0%} of the numbers do not fit into {kind} and were clipped; see --dtype"]

    def _rounded_away(self, dtype: str) -> list[str]:
        """A warning where rounding left hardly anything: -t uint16 of reflectance is zeros and ones."""
        if self.least >= self.most:  # nothing was asked, or there was one number before
            return []
        left = round(self.most) - round(self.least) + 1
        if left > _FEW_LEFT:
            return []
        return [
            f"rounding to {dtype} leaves no more than {left} numbers, as all lie between {self.least:.3g} "
            f"and {self.most:.3g}; scale PAN and MS first (gdal_translate -scale), or use --dtype float32"
        ]


@dataclass
class _Clock:
    """Seconds per stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def sharpen(
    pan: Name,
    ms: Sequence[Name],
    out: str | Path,
    options: SharpenOptions | None = None,
    progress: Progress | None = None,
) -> SharpenReport:
    """Fuse a pan and an ms image into one GeoTIFF on the pan grid.

    Args:
        pan: Path, URI, or ``path,band=N``.
        ms: One or more of the same, stacked in this order.
        out: The output; it exists only when complete.
        options: What is asked for.
        progress: Called as tiles are done.

    Raises:
        PancliError: Anything a user can cause; nothing is left on disk.
    """
    options = options or SharpenOptions()
    clock = _Clock()
    with clock.stage("total"), using_threads(options.cpu_threads), torch.inference_mode():
        start = time.perf_counter()
        with shortage_told(find_device(options.device)), plan_sharpening(pan, ms, out, options) as plan:
            clock.seconds["plan"] = time.perf_counter() - start
            told = progress or (lambda *_: None)
            plan, adaptation = _adapted(plan, clock, told)
            with using_threads(_computing_threads(plan)):
                plan, pan_shift = _execute(plan, clock, told)
    return report_of(plan, clock.seconds, adaptation, pan_shift)


def _computing_threads(plan: Plan) -> int:
    """How many of the threads compute.

    All, where a network does; else half: beside them tiles are read and interpolated, and GDAL compresses on
    as many as there are, which is most of the work.
    """
    threads = plan.options.cpu_threads
    return threads if _is_network(plan) else math.ceil(threads / 2)


def _is_network(plan: Plan) -> bool:
    return isinstance(_without_rounds(plan.method), NetworkMethod)


def _without_rounds(method: Method) -> Method:
    return method.method if isinstance(method, BackProjected) else method


def _adapted(plan: Plan, clock: _Clock, progress: Progress) -> tuple[Plan, Adaptation | None]:
    """The plan with its network adapted to the scene, where that was asked for and has helped."""
    around = plan.method if isinstance(plan.method, BackProjected) else None
    network = _without_rounds(plan.method)
    if plan.options.adapt is None or not isinstance(network, NetworkMethod):
        return plan, None
    with clock.stage("adapt"):
        rounds = 0 if around is None else around.rounds
        terms = AdaptTerms(plan.options.adapt, plan.options.adapt_loss, rounds)
        adapted, adaptation = adapt(network, plan.scene, terms, progress)
    method = adapted if around is None else replace(around, method=adapted)
    tags = {**plan.spec.tags, "PANCLI_ADAPTATION": adaptation.describe()}
    return replace(plan, method=method, spec=replace(plan.spec, tags=tags)), adaptation


def _execute(plan: Plan, clock: _Clock, progress: Progress) -> tuple[Plan, Shift | None]:
    """Carry a plan out; returns it with the tiles that there was memory for, and where pan was found."""
    untold = _untold_fill(plan)
    with clock.stage("fit"):
        progress("fit", 0, 0)
        state, scene = fit_in_memory(plan.method, plan.scene)
    pan_shift = _pan_shift(plan, state)
    spec = replace(plan.spec, tags={**plan.spec.tags, **_tags(plan, state, pan_shift)})
    with atomic_output(spec) as output:
        with clock.stage("fuse"):
            side, tally = _fuse_tiles(plan, state, output, clock, progress)
        finishing = time.perf_counter()
    clock.seconds["finish"] = time.perf_counter() - finishing
    warnings = [
        *untold,
        *_left_apart(plan, _measured(plan, state)),
        *_smaller_tiles(plan, scene.fit_tile, side),
        *tally.told(plan),
    ]
    return replace(plan, tile_size=side, warnings=(*plan.warnings, *warnings)), pan_shift


def _pan_shift(plan: Plan, state: Any) -> Shift | None:
    """How far pan was moved to lie on ms; None where nobody looked."""
    measured = _measured(plan, state)
    if measured is None and plan.options.coregister != "pan":
        return None
    (down, right), more = plan.scene.pan_shift, NOWHERE if measured is None else measured.shift
    return round(down + more[0], 3), round(right + more[1], 3)


def _network_state(plan: Plan, state: Any) -> NetworkState | None:
    """What a network fitted; None of other methods."""
    fitted = state.method if isinstance(plan.method, BackProjected) else state
    return fitted if isinstance(fitted, NetworkState) else None


def _measured(plan: Plan, state: Any) -> Measured | None:
    """What a network that sees physics measured; None of other methods."""
    network = _network_state(plan, state)
    return None if network is None else network.measured


def _tags(plan: Plan, state: Any, pan_shift: Shift | None) -> dict[str, str]:
    """What was found in the scene itself."""
    tags, network = {}, _network_state(plan, state)
    if isinstance(plan.method, BackProjected):
        tags = {"PANCLI_MTF_GAINS": state.describe(), "PANCLI_BACK_PROJECTIONS": str(plan.method.rounds)}
    if network is not None and network.colours is not None:
        strength, terms = network.colours.strength, network.colours.weights.shape[1]
        tags["PANCLI_DETAIL_STRENGTH"] = ",".join(f"{share:.4g}" for share in strength.tolist())
        tags["PANCLI_COLOUR_TERMS"] = str(terms)
    if network is not None and network.measured is not None:
        tags["PANCLI_PAN_CRISPER"] = f"{network.measured.missing:.4g}"
    elif plan.options.crisp_pan:
        tags["PANCLI_PAN_CRISPER"] = f"{plan.scene.pan_crisper:.4g}"
    if pan_shift is not None:
        tags["PANCLI_PAN_SHIFT"] = f"{pan_shift[0]:g},{pan_shift[1]:g}"
    return tags


def _untold_fill(plan: Plan) -> list[str]:
    scene, options = plan.scene, plan.options
    part = options.aoi is not None or options.bbox is not None
    frame = "the frame of what is sharpened" if part else "its frame"
    return untold_fill(scene.reader, plan.untagged, scene.info.placement, scene.area, frame)


def _left_apart(plan: Plan, measured: Measured | None) -> list[str]:
    """A warning where pan lies too far from ms to be moved unasked, or nobody knows where."""
    if measured is None:
        return []
    if not measured.told and plan.options.coregister != "pan":  # else it was told in the plan
        return [UNTOLD]
    if measured.found == measured.shift:
        return []
    down, right = (round(away, 2) for away in measured.found)
    vertical = f"{abs(down):g} pixels {'below' if down > 0 else 'above'}"
    horizontal = f"{abs(right):g} {'to the right' if right > 0 else 'to the left'} of"
    to_pan = f"{plan.shift.down + down:.5g},{plan.shift.right + right:.5g}"
    return [
        f"PAN lies {vertical} and {horizontal} MS: --coregister {to_pan} moves MS to PAN, "
        "--coregister pan lays PAN on MS; without either, colours lie beside what they belong to"
    ]


def _smaller_tiles(plan: Plan, fitted: int, fused: int) -> list[str]:
    """Warnings where there was not enough memory for the tiles that were planned."""
    device, asked = plan.scene.device, plan.scene.fit_tile
    warnings = []
    if fitted < asked:
        warnings.append(
            f"{device}: not enough memory for statistics on tiles of {asked} pixels; they had {fitted}"
        )
    if fused < plan.tile_size:
        warnings.append(
            f"{device}: not enough memory for tiles of {plan.tile_size} pixels; they had {fused} in the end "
            f"(--tile {fused} begins so)"
        )
    return warnings


def _fuse_tiles(
    plan: Plan, state: Any, output: Output, clock: _Clock, progress: Progress
) -> tuple[int, _Tally]:
    """Returns the side of the last tiles, and what was written."""
    spec, side, tally = plan.spec, plan.tile_size, _Tally()
    encode = Encoding(spec.dtype, spec.nodata, spec.bits)
    writing: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="pancli-write") as writer:
        # A pool that is interrupted while it starts its thread forgets it, and the file would be closed under
        # it: so the thread is there before there is anything to write.
        writer.submit(int).result()

        fuse = in_turn(plan.method, state)

        def write(image: TileImage) -> Future[None]:
            return _fuse_one(plan, image, fuse, encode, (output, writer, tally))

        with closing(each_tile(plan, write, partial(clock.stage, "wait_read"))) as steps:
            for done, step in enumerate(steps, start=1):
                side = step.side
                if step.result is not None:
                    writing.append(step.result)
                with clock.stage("wait_write"):
                    while len(writing) > _WRITE_BEHIND:
                        writing.popleft().result()
                progress("fuse", done, done + step.left)
        with clock.stage("wait_write"):
            for future in writing:
                future.result()
    return side, tally


def _fuse_one(
    plan: Plan,
    image: TileImage,
    fuse: Callable[[TileImage], Tensor],
    encode: Encoding,
    sink: tuple[Output, ThreadPoolExecutor, _Tally],
) -> Future[None]:
    """Fuse one tile and, when nothing can fail for want of memory any more, hand its core to the writer."""
    output, writer, tally = sink
    tile = image.tile
    fused = fuse(image)[:, *tile.inner]
    valid = image.valid[tile.inner]
    if plan.area.outline is not None:
        valid = valid & torch.from_numpy(plan.area.inside(tile.core)).to(valid.device)
    target = tile.core.relative_to(plan.window)
    stored, known = encode(fused, valid), valid.cpu().numpy()
    told = plan.options.dtype is not None or encode.bits is not None
    clipped = encode.beyond(fused, valid) if told else 0
    if plan.rounded:
        tally.widen(fused[:, valid])
    # A tile that fails for want of memory comes again, in parts: it counts once all of that is behind it.
    tally.valid += int(known.sum())
    tally.clipped += clipped
    return writer.submit(output.write, target, stored, known)
