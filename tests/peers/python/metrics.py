"""Reads metrics from standard input, has the Prometheus client for Python parse them, and prints the
families as a JSON array.
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = []
for family in text_string_to_metric_families(sys.stdin.read()):
    samples = [{"name": s.name, "labels": s.labels, "value": s.value} for s in family.samples]
    # Infinity is no JSON, and no metric of ours has it.
    families.append({"name": family.name, "type": family.type, "samples": samples})
json.dump(families, sys.stdout, allow_nan=False)
