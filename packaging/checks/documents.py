#!/usr/bin/env python3
"""documents.py BUNDLE: the samples fit the JSON Schema and nothing else does, the SBOM is valid and complete."""

import json
import sys
import tomllib
from pathlib import Path

import jsonschema
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

# What the schema must refuse: an edit of a sample, as text.
WRONG = [
    ('type = "vcenter"', 'type = "vcentre"'),
    ("[metrics]", "[metric]"),
    ('bind = "127.0.0.1:8082"', 'bind = "8082"'),
    ('username = "admin"\n', ""),
    ('address = "https://vc01', 'adress = "https://vc01'),
    ('address = "http://127.0.0.1:8080"', 'address = "http://127.0.0.1:8080"\nrefresh = "10 seconds"'),
]


def check_schema(folder):
    schema = json.loads((folder / "router.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    samples = sorted((folder / "samples").glob("*.toml"))
    assert len(samples) >= 4, samples
    for sample in samples:
        problems = [error.message for error in validator.iter_errors(tomllib.loads(sample.read_text()))]
        assert not problems, f"{sample.name} does not fit the schema: {problems}"
    text = (folder / "samples" / "openfaas.toml").read_text()
    for right, wrong in WRONG:
        edited = text.replace(right, wrong)
        assert edited != text and not validator.is_valid(tomllib.loads(edited)), f"the schema takes {wrong!r}"
    return len(samples)


def check_sbom(path, lock):
    text = path.read_text()
    problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    assert problem is None, f"{path.name}: {problem}"
    bill = json.loads(text)
    locked = {(package["name"], package["version"]) for package in tomllib.loads(lock)["package"]}
    told = {(part["name"], part["version"]) for part in bill["components"] if part["name"] != "rust-std"}
    assert told <= locked, f"not in Cargo.lock: {told - locked}"
    manifest = tomllib.loads(Path("Cargo.toml").read_text())
    missing = set(manifest["dependencies"]) - {name for name, _ in told}
    assert not missing, f"dependencies that the SBOM does not tell: {missing}"
    refs = {part["bom-ref"] for part in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    for node in bill["dependencies"]:
        assert {node["ref"], *node.get("dependsOn", [])} <= refs, f"dangling: {node}"
    return len(told)


def check_licences(path, bill):
    told = path.read_text()
    for part in json.loads(bill.read_text())["components"]:
        if part["scope"] == "required":
            assert f"\n{part['name']}" in told, f"no licence text for {part['name']}"


def main():
    bundle = Path(sys.argv[1])
    samples = check_schema(bundle / "config")
    parts = check_sbom(bundle / "sbom.cdx.json", Path("Cargo.lock").read_text())
    check_licences(bundle / "THIRD-PARTY-LICENCES.txt", bundle / "sbom.cdx.json")
    print(f"{samples} samples fit the schema, {len(WRONG)} wrong ones do not; {parts} crates in the SBOM, with licences")


main()
