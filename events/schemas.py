"""The published contract: ``python -m events.schemas`` writes the schemas, ``asyncapi.yaml`` and ``events.md``.

All three come from the message types, so they say what the code reads and writes; ``make schemas`` runs it.
"""

import sys
import tomllib
from pathlib import Path

from events.asyncapi import asyncapi, yaml_text
from events.explanation import Explanation
from events.json_schemas import file_name, json_schemas, report_schema, schema_text
from events.reference import reference

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = "docs/schemas"


def generated(root: Path = ROOT) -> dict[str, str]:
    """The text of every generated file by its path below ``root``, a source tree."""
    # read as a file: events stand below config and do not import it
    kafka = tomllib.loads((root / "config" / "default.toml").read_text(encoding="utf-8"))["kafka"]
    files = {f"{SCHEMAS}/{file_name(name)}": schema_text(schema) for name, schema in json_schemas().items()}
    files[f"{SCHEMAS}/{file_name('explanation')}"] = schema_text(report_schema("explanation", Explanation))
    files["docs/asyncapi.yaml"] = yaml_text(asyncapi(kafka))
    files["docs/events.md"] = reference(kafka["topics"])
    return files


def write(root: Path = ROOT) -> list[str]:
    """Write all generated files, remove schemas that no type has any more; the paths of what is there now."""
    files = generated(root)
    (root / SCHEMAS).mkdir(parents=True, exist_ok=True)
    for old in (root / SCHEMAS).glob("*.json"):
        if f"{SCHEMAS}/{old.name}" not in files:
            old.unlink()
    for path, text in files.items():
        (root / path).write_text(text, encoding="utf-8", newline="\n")
    return sorted(files)


def main() -> int:
    """Exit code 0 when all is written, 1 outside a source tree."""
    if not (ROOT / "docs").is_dir():
        sys.stderr.write(f"{ROOT / 'docs'} is not there: run `python -m events.schemas` in a source tree\n")
        return 1
    sys.stdout.write(f"{len(write())} files written below {ROOT / 'docs'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
