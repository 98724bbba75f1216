"""How Schemathesis writes and reads lines of JSON."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def write_lines(context, value):
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


@schemathesis.deserializer("application/x-ndjson")
def read_lines(context, response):
    """The document has the schema of one line; the first one, the header, stands for all of them."""
    return json.loads(response.content.split(b"\n", 1)[0])
