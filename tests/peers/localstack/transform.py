"""What LocalStack's input transformer makes of events.

Each line of standard input is {"template": ..., "paths": {...}, "event": {...}}; each line of the answer
is {"made": ...}, where a template that became no JSON makes null, or {"failed": ...}.

Only the functions of the transformer are taken from the installed sources: their modules import the
whole emulator.
"""

import ast
import datetime
import importlib.util
import json
import logging
import pathlib
import re
import sys

FUNCTIONS = {
    "utils/json.py": ["extract_jsonpath"],
    "services/events/utils.py": ["EventJSONEncoder", "to_json_str", "is_nested_in_string"],
    "services/events/target.py": [
        "TRANSFORMER_PLACEHOLDER_PATTERN",
        "get_template_replacements",
        "replace_template_placeholders",
    ],
}


def load():
    root = pathlib.Path(next(iter(importlib.util.find_spec("localstack").submodule_search_locations)))
    names = {"json": json, "re": re, "datetime": datetime, "LOG": logging.getLogger(), "PREDEFINED_PLACEHOLDERS": set()}
    for file, wanted in FUNCTIONS.items():
        path = root / file
        for node in ast.parse(path.read_text()).body:
            name = node.targets[0].id if isinstance(node, ast.Assign) else getattr(node, "name", None)
            if name in wanted:
                # types of parameters come from modules that are not here
                for inner in ast.walk(node):
                    if isinstance(inner, ast.FunctionDef):
                        inner.returns = None
                        for argument in inner.args.args:
                            argument.annotation = None
                exec(compile(ast.Module([node], []), str(path), "exec"), names)
    return names


def main():
    names = load()
    # read all before anything is written: the other side does the same
    for line in sys.stdin.read().splitlines():
        case = json.loads(line)
        transformer = {"InputPathsMap": case["paths"], "InputTemplate": case["template"]}
        try:
            found = names["get_template_replacements"](transformer, case["event"])
            made = {"made": names["replace_template_placeholders"](case["template"], found)}
        except Exception as error:
            made = {"failed": repr(error)}
        print(json.dumps(made))


main()
