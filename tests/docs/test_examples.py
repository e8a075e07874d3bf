"""What the documentation shows is so: commands print what stands below them, files load, links lead somewhere."""

import json
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.testing import CliRunner

from config.loader import load_settings
from console.main import app
from tests.docs.pages import (
    PAGES,
    ROOT,
    Block,
    Command,
    anchors_of,
    blocks_of,
    commands_of,
    headings_of,
    links_of,
    name_of,
)
from tests.support.kafka_broker import KafkaBroker

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
# The translation shows the same commands; a test below holds that, so they need not run twice.
RUNNABLE = [page for page in PAGES if page != CHINESE and commands_of(page)]
MARKER = "..."


def pages(found: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", found, ids=name_of)


def arguments(command: str) -> list[str]:
    """The words behind ``orderpulse``, without a comment."""
    return shlex.split(command, comments=True)[1:]


def needs_a_broker(command: str) -> bool:
    """Whether a command talks to Kafka, or to a Redis that the page starts elsewhere."""
    words = arguments(command)
    if words[0] in ("topics", "status", "doctor"):
        return True
    reads_files = "--input" in words and words[words.index("--input") + 1] != "kafka"
    writes_files = "--output" in words and words[words.index("--output") + 1] != "kafka"
    if words[0] == "rules":
        return not {"--input", "--to"} & set(words)
    if words[0] == "verify":
        return any(word.partition(":")[0] == "kafka" for word in words)
    return (words[0] in ("run", "replay") and not (reads_files and writes_files)) or (
        words[0] == "dlq" and not reads_files
    )


def shape(line: str) -> str:
    """A line of output without what differs between machines and versions: figures and the width of columns."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,.]*", "0", line)).strip()


def missing_lines(shown: list[str], printed: str) -> list[str]:
    """The lines shown that the command did not print."""
    there = Counter(shape(line) for line in printed.splitlines())
    return [line for line in shown if line.strip() not in ("", MARKER) and not there[shape(line)]]


def with_exit_codes(commands: list[Command]) -> Iterator[tuple[Command, int]]:
    """Each command with the exit code that the page shows by ``echo $?``; 0 where it shows none."""
    for command, following in pairwise([*commands, Command("", [])]):
        yield command, int(following.output[0]) if following.line == "echo $?" else 0


def parsed(words: list[str]) -> str | None:
    """Why the command line refuses these arguments; None when it takes them. Nothing is run."""
    name, command, context = "orderpulse", typer.main.get_command(app), None
    try:
        while isinstance(command, TyperGroup):
            context = command.make_context(name, list(words), parent=context)
            found, called, words = command.resolve_command(context, words)
            assert found is not None
            assert called is not None
            name, command = found, called
        command.make_context(name, list(words), parent=context)
    except TyperException as error:
        return str(error)
    return None


def place_files(page: Path, directory: Path) -> None:
    """What the page's commands find: the project's files and those that the page shows."""
    for name in ("tests", "config"):
        (directory / name).symlink_to(ROOT / name)
    for block in blocks_of(page):
        if "file" in block.values:
            target = directory / block.values["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")


@pages(RUNNABLE)
def test_commands_run_and_print_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORDERPULSE_HASH_KEY", raising=False)
    for command, code in with_exit_codes(commands_of(page)):
        if not command.line.startswith("orderpulse ") or needs_a_broker(command.line):
            continue
        result = CliRunner().invoke(app, arguments(command.line), env={"COLUMNS": "200"})
        printed = result.stdout + result.stderr
        assert result.exit_code == code, f"{command.line}: {printed}"
        assert missing_lines(command.output, printed) == [], f"{command.line} printed\n{printed}"
    for block in blocks_of(page, "json"):
        if "shows" in block.values:
            records = Path(block.values["shows"]).read_bytes().splitlines()
            assert json.loads(block.text) in [json.loads(record) for record in records], f"line {block.line}"


def test_the_readme_works_on_a_real_kafka_and_redis(
    own_kafka: KafkaBroker, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = commands_of(ENGLISH)
    local_redis = redis_server.replace("127.0.0.1", "localhost")
    settings = tmp_path / "local.toml"
    settings.write_text(
        f'[kafka]\nbootstrap = "{own_kafka.bootstrap.replace("127.0.0.1", "localhost")}"\n'
        f'[redis]\nurl = "{local_redis}"\n',
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    makes_events = [command for command in commands if command.line.startswith("orderpulse simulate")]
    on_brokers = [
        command for command in commands if command.line.startswith("orderpulse ") and needs_a_broker(command.line)
    ]
    assert on_brokers
    for command in [*makes_events, *on_brokers]:
        words = arguments(command.line.replace("redis://localhost:6379/0", local_redis))
        result = CliRunner().invoke(
            app, [*words, *(["--config", str(settings)] if command in on_brokers else [])], env={"COLUMNS": "200"}
        )
        printed = result.stdout + result.stderr
        assert result.exit_code == 0, f"{command.line}: {printed}"
        assert missing_lines(command.output, printed) == [], f"{command.line} printed\n{printed}"


@pages([page for page in PAGES if commands_of(page)])
def test_commands_that_need_a_broker_are_such_that_the_command_line_takes(page: Path) -> None:
    shown = [command.line for command in commands_of(page) if command.line.startswith("orderpulse ")]
    refused = {line: parsed(arguments(line)) for line in shown if needs_a_broker(line)}
    assert {line: why for line, why in refused.items() if why is not None} == {}


def test_a_command_that_the_command_line_does_not_take_is_found() -> None:
    assert parsed(["run", "--inptu", "x"]) is not None
    assert parsed(["topics", "destroy"]) is not None


@pages([page for page in PAGES if commands_of(page)])
def test_make_has_the_targets_that_the_page_names(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = {shlex.split(command.line)[1] for command in commands_of(page) if command.line.startswith("make ")}
    assert named <= targets


@pages([page for page in PAGES if blocks_of(page, "json")])
def test_json_parses(page: Path) -> None:
    for block in blocks_of(page, "json"):
        for text in [block.text] if block.text.startswith(("{\n", "[\n")) else block.text.splitlines():
            try:
                json.loads(text)
            except ValueError as error:
                pytest.fail(f"{name_of(page)}, line {block.line}: {error}")


@pages([page for page in PAGES if blocks_of(page, "toml")])
def test_toml_parses_and_what_is_shown_as_configuration_is_accepted(page: Path) -> None:
    for block in blocks_of(page, "toml"):
        values = tomllib.loads(block.text)
        if "config" in block.words:
            load_settings(overrides=values)


@pages(list(PAGES))
def test_a_marked_block_is_one_that_the_tests_know(page: Path) -> None:
    known_words = {"config"}
    known_values = {"file", "shows", "into", "before", "after"}
    strange: list[Block] = [
        block for block in blocks_of(page) if block.words - known_words or block.values.keys() - known_values
    ]
    assert strange == []


@pages(list(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links_of(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@pages(list(PAGES))
def test_every_page_can_be_reached(page: Path) -> None:
    pointing = {
        (other.parent / link.partition("#")[0]).resolve()
        for other in PAGES
        for link in links_of(other)
        if other != page
    }
    assert page == ENGLISH or page in pointing


@pytest.mark.parametrize("name", ["README", "docs/rules"])
def test_the_chinese_page_follows_the_english_one(name: str) -> None:
    english, chinese = ROOT / f"{name}.md", ROOT / f"{name}.zh-CN.md"
    depth = [[heading.partition(" ")[0] for heading in headings_of(page)] for page in (english, chinese)]
    assert depth[0] == depth[1]
    assert [command.line for command in commands_of(english)] == [command.line for command in commands_of(chinese)]
    code = [[block.text for block in blocks_of(page) if block.language != "console"] for page in (english, chinese)]
    assert code[0] == code[1]


@pytest.mark.parametrize(
    ("line", "broker"),
    [
        ("orderpulse run --input a --output b", False),
        ("orderpulse run --input kafka --output b", True),
        ("orderpulse run --redis redis://localhost:6379/0", True),
        ("orderpulse topics create", True),
        ("orderpulse dlq list", True),
        ("orderpulse dlq list --input out  # of a run", False),
    ],
)
def test_commands_that_need_a_broker_are_told_apart(line: str, broker: bool) -> None:
    assert needs_a_broker(line) is broker


def test_an_output_that_the_command_does_not_give_is_found() -> None:
    assert missing_lines(["12 orders", "...", "no alerts"], "  13   orders\nmore") == ["no alerts"]
