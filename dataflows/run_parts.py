"""What the parts of one process's flow share."""

from msgspec import Struct

from dataflows.control import Control
from dataflows.observer import Observer
from dataflows.outlet import Outlet
from dataflows.worker import Worker


class Run(Struct, frozen=True):
    """``keeps``: there is a recovery store."""

    worker: Worker
    outlet: Outlet
    control: Control
    observer: Observer
    keeps: bool
