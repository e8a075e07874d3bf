"""Who does what every event passes: the compiled part where it was built, unless the settings say otherwise."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from xxhash import xxh3_64_digest

from operators.heart.buffer import Buffer, PlainBuffer
from operators.heart.built import BUILT
from operators.heart.component import Environment, StatefulComponent
from operators.heart.duplicates import Digests, Seeds
from operators.heart.router import LOOPS, Loops
from operators.heart.walker import PlainWalker, Walker

if BUILT:
    from operators.heart import _compiled

Parts = Sequence[StatefulComponent[Any]]
MakeWalker = Callable[[Parts, int, int], Walker]
_SEEDS: Final = Seeds()


def compiled_walker(components: Parts, live_limit: int, horizon: int) -> Walker:
    """The compiled walker; only where it is ``BUILT``. Takes what ``PlainWalker`` takes."""
    states = (component.state_type | None for component in components)
    layout: Any = tuple[tuple[int, Digests, Digests], list[int] | None, *states]  # type: ignore[valid-type]
    return _compiled.Walker(
        components,
        live_limit,
        horizon,
        encode=msgspec.msgpack.Encoder().encode,
        decode=msgspec.msgpack.Decoder(layout).decode,
        digest=xxh3_64_digest,
        seeds=_SEEDS,
    )


def walker_for(environment: Environment) -> MakeWalker:
    """What makes the walkers of a run."""
    return compiled_walker if environment.uses_compiled else PlainWalker


def buffer_for(environment: Environment) -> Buffer:
    """A buffer of a key group of a run."""
    return _compiled.Buffer() if environment.uses_compiled else PlainBuffer()


def loops_for(environment: Environment) -> Loops:
    """The loops of a run's routers."""
    return Loops(_compiled.Sorter, _compiled.picked, _compiled.newlines) if environment.uses_compiled else LOOPS
