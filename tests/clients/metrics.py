"""prometheus_client, which others read metrics with, reads ours: on standard input. Prints what it found as JSON."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

types, samples = {}, {}
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.name not in types, f"{family.name} comes twice"
    assert family.type != "unknown" and family.documentation, family
    types[family.name] = family.type
    for sample in family.samples:
        key = sample.name + json.dumps(sample.labels, sort_keys=True)
        assert key not in samples, f"{key} comes twice"
        samples[key] = sample.value
print(json.dumps({"types": types, "samples": samples}))
