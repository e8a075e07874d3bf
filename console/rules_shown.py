"""How ``orderpulse rules`` shows rules, documents, and what a document changes; in Chinese or English."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, structs

from config.rulebook import KINDS, is_on, rules_of, section_of, version_in
from config.settings import Settings
from config.texts import Pair
from config.units import Duration, Thousandths
from console.output import local_time, print_json, table, to_stdout
from console.rules_log import RulesLog, Standing
from events.model import RulePublished


class InLanguage(StrEnum):
    """The language of the text."""

    ZH = "zh"
    EN = "en"


Changed = tuple[str, Any, Any]
"""A setting by its path in the document, before and after; None: not there."""

_WORDS: Mapping[str, Pair] = {
    "rule": Pair("规则", "rule"),
    "kind": Pair("类别", "kind"),
    "version": Pair("版本", "version"),
    "from": Pair("来源", "from"),
    "file": Pair("配置文件", "file"),
    "document": Pair("规则文档", "document"),
    "since": Pair("生效时间", "effective at"),
    "next": Pair("待生效", "waits"),
    "state": Pair("状态", "state"),
    "by": Pair("发布人", "by"),
    "reason": Pair("原因", "reason"),
    "setting": Pair("设置", "setting"),
    "now": Pair("当前", "now"),
    "then": Pair("之后", "then"),
    "off": Pair("(已停用)", "(switched off)"),
    "nothing": Pair("与当前生效的设置相同", "it says what holds already"),
    "in_effect": Pair("生效中", "in effect"),
    "waiting": Pair("等待生效", "waits"),
    "overtaken": Pair("不会生效(已有更新版本)", "will have no effect: a newer version comes first"),
    "replaced": Pair("已被替代", "replaced"),
    "superseded": Pair("未生效(已有更新版本)", "had no effect: a newer version was known"),
    "refused": Pair("被拒绝", "refused"),
}


def word(name: str, language: InLanguage) -> str:
    """A word of these tables."""
    return str(getattr(_WORDS[name], language))


def show_rules(log: RulesLog, zone: str, language: InLanguage, *, as_json: bool) -> None:
    """Each rule with the version that is in effect, and those that wait."""
    rows = [_row(log, kind, rule) for kind, rule in _names(log)]
    if as_json:
        unreadable = [{"place": place, "what": what} for place, what in log.unreadable]
        print_json({"rules": rows, "unreadable": unreadable})
        return
    columns = ("rule", "kind", "version", "from", "since", "next")
    told = [
        (
            row["rule"],
            row["kind"],
            str(row["version"]),
            word(row["from"], language) + ("" if row["enabled"] else " " + word("off", language)),
            "" if row["effective_at"] is None else local_time(row["effective_at"], zone),
            ", ".join(f"{each['version']}: {local_time(each['effective_at'], zone)}" for each in row["waiting"]),
        )
        for row in rows
    ]
    to_stdout().print(table([word(name, language) for name in columns], told, numbers=(word("version", language),)))
    for place, what in log.unreadable:
        to_stdout().print(f"{place}: {what}", soft_wrap=True)


def show_documents(log: RulesLog, documents: list[Standing], language: InLanguage, *, as_json: bool) -> None:
    """Documents of one rule with what became of each, and their settings."""
    if as_json:
        print_json([values_of(each) for each in documents])
        return
    out, zone = to_stdout(), log.files.zone
    columns = ("version", "state", "since", "by", "reason")
    rows = [
        (
            str(each.document.version),
            word(each.status, language),
            local_time(each.document.effective_at, zone),
            each.document.operator or "",
            each.document.reason or "",
        )
        for each in documents
    ]
    out.print(table([word(name, language) for name in columns], rows, numbers=(word("version", language),)))
    for each in documents:
        out.print(f"\n{each.document.rule} {each.document.version}  ({each.place})", soft_wrap=True)
        for path, value in flat(each.document.settings):
            out.print(f"  {path} = {value}", soft_wrap=True)
        for problem in each.problems:
            out.print(f"  {word('refused', language)}: {problem}", soft_wrap=True)


def show_changes(changes: list[Changed], language: InLanguage) -> None:
    """What a document changes."""
    if not changes:
        to_stdout().print(word("nothing", language))
        return
    rows = [(path, _said(before), _said(after)) for path, before, after in changes]
    to_stdout().print(table([word(name, language) for name in ("setting", "now", "then")], rows))


def changes_between(before: Settings, after: Settings, document: RulePublished) -> list[Changed]:
    """The settings of the document's rule that are not the same in both."""
    old = dict(flat(_plain_rule(before, document.kind, document.rule)))
    new = dict(flat(_plain_rule(after, document.kind, document.rule)))
    paths = [*new, *(path for path in old if path not in new)]
    return [(path, old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)]


def flat(table_: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a table by their paths."""
    for name, value in table_.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from flat(value, here)
        else:
            yield here, value


def values_of(standing: Standing) -> dict[str, Any]:
    """A document for programs."""
    document = standing.document
    return {
        "rule": document.rule,
        "kind": document.kind,
        "version": document.version,
        "status": standing.status,
        "effective_at": document.effective_at,
        "published_at": document.time,
        "settings": document.settings,
        "operator": document.operator,
        "reason": document.reason,
        "place": standing.place,
        "problems": [structs.asdict(problem) for problem in standing.problems],
    }


def _names(log: RulesLog) -> list[tuple[str, str]]:
    known = list(rules_of(log.now))
    more = {(each.document.kind, each.document.rule) for each in log.standings if each.document.kind in KINDS}
    return [*known, *sorted(more - set(known))]


def _row(log: RulesLog, kind: str, rule: str) -> dict[str, Any]:
    documents = log.of(kind, rule)
    now = next((each.document for each in documents if each.status == "in_effect"), None)
    return {
        "rule": rule,
        "kind": kind,
        "version": version_in(log.now, kind, rule),
        "enabled": is_on(log.now, kind, rule),
        "from": "file" if now is None else "document",
        "effective_at": None if now is None else now.effective_at,
        "waiting": [
            {"version": each.document.version, "effective_at": each.document.effective_at}
            for each in documents
            if each.status == "waiting"
        ],
    }


def _plain_rule(settings: Settings, kind: str, rule: str) -> dict[str, Any]:
    section = section_of(settings, kind, rule)
    if section is None:
        return {}
    values = {name: value for name, value in structs.asdict(section).items() if name != "version"}
    if rule == "stage_timeout":
        values["norms"] = {name: stage.norm for name, stage in settings.stages.items()}
    shown: dict[str, Any] = _plain(values)
    return shown


def _plain(value: Any) -> Any:
    """A value as a document writes it."""
    match value:
        case Struct():
            return _plain(structs.asdict(value))
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
        case Duration():
            return str(value)
        case Thousandths():
            return value / 1000
    return value


def _said(value: Any) -> str:
    return "" if value is None else str(value)
