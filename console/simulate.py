"""``orderpulse simulate``: a made-up trade with its troubles, and the truth about what must be alerted."""

from pathlib import Path
from typing import Annotated

import typer

from config.loader import load_settings
from console.errors import WrongUseError
from console.options import Config, Json
from console.output import number, print_json, some, table, to_stdout


def simulate(  # noqa: PLR0913, PLR0917  # one argument for each option
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Gets events/*.ndjson and truth.ndjson.")],
    orders: Annotated[int, typer.Option("--orders", metavar="N", help="How many orders.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The same seed gives the same bytes.")] = 1,
    partitions: Annotated[int, typer.Option("--partitions", metavar="P", help="Files of each kind of events.")] = 4,
    duplicates: Annotated[
        float, typer.Option("--duplicates", metavar="X", help="Copies, as a share of the events: 0.01 is 1 %.")
    ] = 0.0,
    late: Annotated[float, typer.Option("--late", metavar="X", help="Late events, as a share.")] = 0.0,
    bad: Annotated[float, typer.Option("--bad", metavar="X", help="Records that cannot be used, as a share.")] = 0.0,
    config: Config = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier simulation.")] = False,
    json_: Json = False,
) -> None:
    """Make up a trade: event files with cases of every rule put in on purpose, and what must be alerted over them.

    Example:

        orderpulse simulate --orders 2000 --seed 7 --output sim --late 0.01 --duplicates 0.01
    """
    settings = load_settings(config)
    _require_free(output, overwrite=overwrite)

    from console.progress import counted
    from dataflows.environment import environment_of
    from sources.simulator import SimulationPlan, write

    hash_key = environment_of(settings, read_model=False).hash_key
    try:
        plan = SimulationPlan(
            orders, seed, partitions=partitions, duplicates=duplicates, late=late, bad=bad, hash_key=hash_key
        )
    except ValueError as error:
        what, _, remedy = str(error).rpartition(": ")
        raise WrongUseError(f"--{what}", remedy) from None
    with counted("making up", "orders", total=orders) as advance:
        made = 0

        def progress(by_now: int) -> None:
            nonlocal made
            advance(by_now - made)
            made = by_now

        counts = write(plan, settings, output, progress)
    values = {name: getattr(counts, name) for name in counts.__struct_fields__}
    if json_:
        print_json({"directory": str(output), **values})
        return
    out = to_stdout()
    out.print(f"{some(counts.orders, 'order')} with {some(counts.events, 'event')} in {output / 'events'}")
    rows = [(name, number(values[name])) for name in ("duplicates", "late", "bad") if values[name]]
    if rows:
        out.print(table(("besides", ""), rows, numbers=("",)))
    out.print(f"{some(counts.alerts, 'alert')} must be opened over them: {output / 'truth.ndjson'}")
    out.print(f"\nNext: orderpulse run --input {output / 'events'} --output {output / 'run'}")
    out.print(f"      orderpulse verify {output} {output / 'run'}")


def _require_free(directory: Path, *, overwrite: bool) -> None:
    if directory.exists() and not directory.is_dir():
        raise WrongUseError(f"--output {directory}: is a file", "name a directory")
    if not overwrite and (directory / "truth.ndjson").exists():
        raise WrongUseError(
            f"--output {directory}: holds an earlier simulation", "name another directory, or add --overwrite"
        )
