"""Conversions in a test's own folder, with the events decoded and the dead letters read."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from events.model import AnyEvent, Event
from events.records import DeadLetterRecord
from sources.mapping.convert import ConvertReport, convert
from sources.mapping.loading import parse_profile
from sources.mapping.profile import Profile

SAMPLES = Path(__file__).parent.parent / "samples"

_EVENT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyEvent)
_DEAD_LETTER = msgspec.json.Decoder(DeadLetterRecord)

CREATED = """
name = "shop"
source = "shop"
[time]
zone = "Asia/Shanghai"
[money]
unit = "major"
[inputs.orders]
format = "{format}"
{input}
[[events]]
name = "created"
from = "orders"
type = "order.created"
id = {{ template = "{{id}}/created" }}
order_id = "id"
time = "at"
{fields}
"""


class Converted(msgspec.Struct):
    """What came out of a conversion."""

    report: ConvertReport
    events: list[Event]
    dead: list[DeadLetterRecord]

    @property
    def only(self) -> Any:
        """The one event that came out; no dead letter beside it."""
        assert [letter.detail for letter in self.dead] == []
        (event,) = self.events
        return event


def profile_of(toml: str) -> Profile:
    return parse_profile(tomllib.loads(toml), "test.toml")


def created(fields: str = "", *, format: str = "json", input: str = "") -> Profile:  # noqa: A002 - the profile's words
    """A profile that makes ``order.created`` of records with ``id`` and ``at``."""
    return profile_of(CREATED.format(format=format, input=input, fields=fields))


def run(profile: Profile, folder: Path, *inputs: Path) -> Converted:
    report = convert(profile, inputs, folder / "out")
    lines = report.events_file.read_bytes().splitlines()
    dead = report.dead_letters_file.read_bytes().splitlines()
    return Converted(report, [_EVENT.decode(line) for line in lines], [_DEAD_LETTER.decode(line) for line in dead])


def run_text(profile: Profile, folder: Path, text: str | bytes, name: str = "orders.json") -> Converted:
    source = folder / name
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    return run(profile, folder, source)
