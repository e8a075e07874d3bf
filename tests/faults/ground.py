"""Where fault runs take place: servers, and the undisturbed run of each workload, made when first asked for."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from config.loader import load_settings
from tests.faults import servers
from tests.faults.outputs import Outputs, read_outputs
from tests.faults.servers import Servers
from tests.faults.trial import Reference, Trial
from tests.faults.workload import trade

RUN_SECONDS = 300.0
SEED = 7


class Ground:
    """Makes trials. ``orders``: how large their workload is; it is fed over ``feed_seconds``."""

    def __init__(self, servers: Servers, directory: Path, orders: int, feed_seconds: float) -> None:
        self.servers = servers
        self.directory = directory
        self.orders = orders
        self.feed_seconds = feed_seconds
        self._references: dict[tuple[int, int], Reference] = {}

    def reference(self, *, orders: int | None = None, poison: int = 0) -> Reference:
        """A workload, and what an undisturbed run makes of it: one process, no recovery, to the end of the topics.

        Raises RuntimeError when that run fails.
        """
        wanted = (orders or self.orders, poison)
        if wanted not in self._references:
            self._references[wanted] = self._undisturbed(*wanted)
        return self._references[wanted]

    def trial(
        self,
        fault: str,
        seed: int,
        *,
        reference: Reference | None = None,
        proxied: bool = False,
        options: Iterable[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> Trial:
        """A run that is about to be disturbed."""
        chosen = reference or self.reference()
        return Trial(
            fault, seed, self.servers, chosen, self.directory, proxied=proxied, options=options, more=more or {}
        )

    def _undisturbed(self, orders: int, poison: int) -> Reference:
        workload = trade(orders, SEED, load_settings(), poison=poison)
        nothing = Reference(workload, Outputs({}, {}))
        name = f"undisturbed-{orders}-{poison}"
        options = ("--bounded",)
        with Trial(name, SEED, self.servers, nothing, self.directory, recovery=False, options=options) as trial:
            trial.feed(0)
            trial.start()
            code = trial.flow.wait(RUN_SECONDS)
            if code != 0:
                message = f"the undisturbed run failed, exit code {code}:\n{trial.flow.log_tail()}"
                raise RuntimeError(message)
            return Reference(workload, read_outputs(trial.installation))


@contextmanager
def prepared(directory: Path, orders: int, feed_seconds: float) -> Iterator[Ground]:
    """Servers and all; raises BrokerError where no broker can run."""
    with servers.started(directory) as running:
        yield Ground(running, directory, orders, feed_seconds)
