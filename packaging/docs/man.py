#!/usr/bin/env python3
"""man.py PROGRAM FOLDER: writes router.1, made of the program's own help, and router.toml.5, made of the JSON Schema.

Their date is SOURCE_DATE_EPOCH.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import help as texts

SCHEMA = Path(__file__).parent.parent / "config" / "router.schema.json"
FILES = [
    ("/etc/event-router/router.toml", "The configuration, see router.toml(5)."),
    ("/var/lib/event-router", "The state, if `state_dir` says so: a checkpoint and dead letters a route, and a lock."),
    ("/usr/share/doc/event-router/samples", "Configurations to begin with."),
]
SIGNALS = (
    "SIGTERM and SIGINT stop in good order: reading ends, deliveries in flight finish within `shutdown_grace`, positions "
    "are saved, sessions are closed. A second signal ends the router at once."
)
SECRETS = (
    "Where a key takes a secret, it is a string, or { file = \"PATH\" }, or { env = \"NAME\" }. A file is read again "
    "before every login, and a newline at its end does not count. $CREDENTIALS_DIRECTORY in the path is replaced, for "
    "LoadCredential= of systemd."
)
VALUES = (
    'Times are strings such as "200ms", "30s", "5m", "12h", "7d"; sizes such as "512KiB", "64MiB". A relative path is '
    "relative to the file. A key that is not known here is an error that names the nearest one."
)


def router(told):
    yield from header("ROUTER", 1, told.version, "router", "deliver vCenter events as CloudEvents")
    yield ".SH SYNOPSIS"
    yield "\n.br\n".join(usage_line(usage) for command in told.commands for usage in command.usage)
    yield from [".SH DESCRIPTION", plain(told.summary)]
    yield plain("What vCenter recorded, the sink gets: at least once, in order per object. When that is not possible,")
    yield plain("the log says what, why and since when.")
    yield ".SH OPTIONS"
    yield from option_list(told.options)
    yield ".SH COMMANDS"
    for command in told.commands:
        yield f".SS {plain(command.name)}"
        yield from paragraphs(command.before, is_first=True)
        yield from option_list(command.options)
        yield from paragraphs(command.after)
    yield from [".SH NOTES"]
    yield from paragraphs(told.notes, is_first=True)
    yield from [".SH SIGNALS", plain(SIGNALS), ".SH FILES"]
    for path, text in FILES:
        yield from [".TP", f".I {plain(path)}", plain(text)]
    yield from [".SH SEE ALSO", ".BR router.toml (5)"]


def router_toml(told, schema):
    yield from header("ROUTER.TOML", 5, told.version, "router.toml", "configuration of the event router")
    yield from [".SH DESCRIPTION", plain(schema["description"] + ", in TOML.")]
    yield from paragraphs([VALUES, SECRETS])
    yield from [".SH SECTIONS", ".SS At the top"]
    yield from keys(schema, schema, [name for name in schema["properties"] if "default" in schema["properties"][name]])
    for name, section in schema["properties"].items():
        if "default" in section:
            continue
        section = resolved(schema, section)
        named = section.get("additionalProperties")
        variants = [resolved(schema, variant) for variant in named.get("oneOf", [named])] if named else [section]
        for variant in variants:
            title = f"[{name}.NAME]" if named else f"[{name}]"
            kind = variant["properties"].get("type", {})
            words = kind.get("enum", [kind["const"]] if "const" in kind else [])
            yield f".SS {plain(title)}" + (f" of type {plain(' or '.join(words))}" if words else "")
            yield plain(variant["description"])
            yield from keys(schema, variant, variant["properties"])
    yield from [".SH SEE ALSO", ".BR router (1)"]


def keys(schema, section, names):
    for name in names:
        key = section["properties"][name]
        inner = resolved(schema, key)
        details = [] if name != "type" else [" or ".join(f'"{word}"' for word in key.get("enum", [key.get("const")])) + "."]
        details.append(key.get("description", inner.get("description", "")))
        if name != "type" and "enum" in key:
            details.append("One of " + ", ".join(f'"{word}"' for word in key["enum"]) + ".")
        if "minimum" in key:
            details.append(f"{key['minimum']} to {key['maximum']}.")
        if "default" in key:
            details.append(f"Default {json.dumps(key['default'])}.")
        if name in section.get("required", []):
            details.append("Must be there.")
        yield from [".TP", f".B {plain(name)}", plain(" ".join(detail for detail in details if detail))]
        if "properties" in inner:
            yield ".RS"
            yield from keys(schema, inner, inner["properties"])
            yield ".RE"


def resolved(schema, node):
    name = node.get("$ref", "").removeprefix("#/definitions/")
    return schema["definitions"][name] if name else node


def header(title, section, version, name, about):
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"])))
    return [f'.TH {title} {section} {date} "event-router {version}"', ".SH NAME", rf"{plain(name)} \- {plain(about)}"]


def option_list(options):
    for option in options:
        names = ", ".join(rf"\fB{plain(name)}\fR" for name in [f"-{option.short}"] * bool(option.short) + [f"--{option.name}"])
        value = rf" \fI{plain(option.value)}\fR" if option.value else ""
        yield from [".TP", names + value, plain(option.text)]


def paragraphs(lines, is_first=False):
    for at, line in enumerate(lines):
        yield from [".PP"] * (at > 0 or not is_first) + [plain(line)]


def usage_line(usage):
    """The program bold, what the user puts in its place underlined."""
    words = re.sub(r"\b([A-Z]{2,}|[NR])\b", r"\\fI\1\\fR", plain(usage))
    return words.replace("router", r"\fBrouter\fR", 1)


def plain(text):
    r"""Text that roff prints as it is: no escapes, ASCII hyphens, no request at the beginning of a line."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{text}" if text[:1] in (".", "'") else text


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    help_of_program, folder = texts.read(sys.argv[1]), Path(sys.argv[2])
    pages = [("router.1", router(help_of_program))]
    pages.append(("router.toml.5", router_toml(help_of_program, json.loads(SCHEMA.read_text()))))
    for page, lines in pages:
        (folder / page).write_text("\n".join(lines) + "\n")
