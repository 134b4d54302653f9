#!/usr/bin/env python3
"""image.py TAR [--layer]: what the image in an OCI layout holds and how it runs, every digest checked on the way; or
the path of its layer in the tar."""

import hashlib
import io
import json
import sys
import tarfile


def main():
    image = tarfile.open(sys.argv[1])

    def blob(descriptor):
        algorithm, digest = descriptor["digest"].split(":")
        content = image.extractfile(f"blobs/{algorithm}/{digest}").read()
        assert hashlib.sha256(content).hexdigest() == digest, f"{digest} does not fit its content"
        assert len(content) == descriptor["size"], f"{digest} has another size"
        return content

    assert json.load(image.extractfile("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.load(image.extractfile("index.json"))["manifests"]
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]], "an uncompressed layer is its own diff"
    (docker,) = json.load(image.extractfile("manifest.json"))
    path = "blobs/" + layer["digest"].replace(":", "/")
    assert docker["Layers"] == [path] and docker["Config"].endswith(manifest["config"]["digest"].split(":")[1])
    if sys.argv[2:] == ["--layer"]:
        print(path)
        return
    for member in tarfile.open(fileobj=io.BytesIO(blob(layer))):
        print(f"{member.mode:04o} {member.uid} {member.name}{'/' if member.isdir() else ''}")
    for key in ("User", "Entrypoint", "WorkingDir"):
        print(key, config["config"][key])
    print(*sorted(config["config"]["Labels"]), sep="\n")


main()
