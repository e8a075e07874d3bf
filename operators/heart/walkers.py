"""Which walker a key group gets: the compiled one where it was built, unless the settings say otherwise."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from xxhash import xxh3_64_digest

from operators.heart.component import Environment, StatefulComponent
from operators.heart.duplicates import Digests, Seeds
from operators.heart.walker import PlainWalker, Walker

try:
    from operators.heart._compiled import Walker as _Compiled
except ImportError:  # installed where there was no compiler
    BUILT = False
else:
    BUILT = True

Parts = Sequence[StatefulComponent[Any]]
MakeWalker = Callable[[Parts, int, int], Walker]
_SEEDS: Final = Seeds()


def compiled_walker(components: Parts, live_limit: int, horizon: int) -> Walker:
    """The compiled walker; only where it is ``BUILT``. Takes what ``PlainWalker`` takes."""
    states = (component.state_type | None for component in components)
    layout: Any = tuple[tuple[int, Digests, Digests], list[int] | None, *states]  # type: ignore[valid-type]
    return _Compiled(
        components,
        live_limit,
        horizon,
        encode=msgspec.msgpack.Encoder().encode,
        decode=msgspec.msgpack.Decoder(layout).decode,
        digest=xxh3_64_digest,
        seeds=_SEEDS,
    )


def uses_compiled(environment: Environment) -> bool:
    """Whether key groups of a run walk compiled."""
    return BUILT and environment.compiled


def walker_for(environment: Environment) -> MakeWalker:
    """What makes the walkers of a run."""
    return compiled_walker if uses_compiled(environment) else PlainWalker
