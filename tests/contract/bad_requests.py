"""Bodies that native paths refuse, headers that all paths refuse, and headers that are accepted."""
from contract import TEXT

# With the limits of WithSmallLimits: (name, body, code, pointer of the first error)
BAD_BODIES = [
    ("no JSON at all", b"inputs", "invalid_json", None),
    ("an empty body", b"", "invalid_json", None),
    ("JSON that ends early", b'{"inputs": ', "invalid_json", None),
    ("two values", b'{"inputs": "a"} {}', "invalid_json", None),
    ("a byte that is not UTF-8", b'{"inputs": "\xff"}', "invalid_utf8", None),
    ("a surrogate in UTF-8", b'{"inputs": "\xed\xa0\x80"}', "invalid_utf8", None),
    ("a key twice", b'{"inputs": "a", "inputs": "b"}', "duplicate_key", None),
    ("a NUL character", b'{"inputs": "a\\u0000b"}', "nul_character", None),
    ("no inputs", {}, "missing_field", "#/inputs"),
    ("an unknown field", {**TEXT, "a/b~c": 1}, "unknown_field", "#/a~1b~0c"),
    ("a list for a body", [], "invalid_type", "#"),
    ("a number for a text", {"inputs": 7}, "invalid_type", "#/inputs"),
    ("a number among texts", {"inputs": ["a", 7]}, "invalid_type", "#/inputs/1"),
    ("a text among token lists", {"inputs": [["a"], "b"]}, "invalid_type", "#/inputs/1"),
    ("a number among tokens", {"inputs": [["a", 7]]}, "invalid_type", "#/inputs/0/1"),
    ("an empty list", {"inputs": []}, "invalid_value", "#/inputs"),
    ("a text for a truth value", {**TEXT, "truncate": "yes"}, "invalid_type", "#/truncate"),
    ("a fraction of a token", {**TEXT, "max_tokens": 1.5}, "invalid_type", "#/max_tokens"),
    ("no tokens", {**TEXT, "max_tokens": 0}, "invalid_value", "#/max_tokens"),
    (
        "an input too long",
        {"inputs": ["a", "a " * 9], "truncate": False},
        "input_too_long",
        "#/inputs/1",
    ),
    ("too many inputs", {"inputs": ["a"] * 4}, "too_many_inputs", "#/inputs"),
    ("too many tokens", {"inputs": ["a " * 7] * 3}, "too_many_tokens", None),
    ("too many bytes", {"inputs": "a" * 1000}, "body_too_large", None),
]
BAD_EMBED_BODIES = [
    ("no outputs", {**TEXT, "outputs": []}, "invalid_value", "#/outputs"),
    ("an unknown output", {**TEXT, "outputs": ["default", "x"]}, "invalid_value", "#/outputs/1"),
    ("a layer too high", {**TEXT, "outputs": ["lstm_outputs99"]}, "invalid_value", "#/outputs/0"),
    ("an output twice", {**TEXT, "outputs": ["elmo", "elmo"]}, "invalid_value", "#/outputs/1"),
    ("an unknown pooling", {**TEXT, "pooling": "min"}, "invalid_value", "#/pooling"),
    ("a mix that is not an object", {**TEXT, "mix": [1]}, "invalid_type", "#/mix"),
    ("too few weights", {**TEXT, "mix": {"weights": [1]}}, "invalid_value", "#/mix/weights"),
    (
        "a weight too large",
        {**TEXT, "mix": {"weights": [0, 0, 1e39]}},
        "invalid_value",
        "#/mix/weights/2",
    ),
    ("an unknown field of mix", {**TEXT, "mix": {"x": 1}}, "unknown_field", "#/mix/x"),
    ("offsets of tokens", {"inputs": [["a"]], "offsets": "bytes"}, "invalid_value", "#/offsets"),
    (
        "an unknown encoding",
        {**TEXT, "encoding_format": "hex"},
        "invalid_value",
        "#/encoding_format",
    ),
]
BAD_SENTIMENT_BODIES = [
    ("a number for a truth value", {**TEXT, "explain": 1}, "invalid_type", "#/explain"),
    ("a field of /embed", {**TEXT, "outputs": ["elmo"]}, "unknown_field", "#/outputs"),
]
BAD_SCORE_BODIES = [
    ("offsets of tokens", {"inputs": [["a"]], "offsets": "bytes"}, "invalid_value", "#/offsets"),
    ("a field of /sentiment", {**TEXT, "explain": True}, "unknown_field", "#/explain"),
]

# (request header, value or None to omit it, status)
BAD_HEADERS = [
    ("Content-Type", None, 415),
    ("Content-Type", "text/plain", 415),
    ("Content-Type", "application/jsonp", 415),
    ("Content-Type", "application/json; charset=latin1", 415),
    ("Content-Encoding", "br", 415),
    ("Content-Encoding", "gzip, gzip", 415),
    ("Accept", "text/html", 406),
    ("Accept", "application/vnd.safetensors;q=0, image/*", 406),
    ("Accept", "application/json;q=0, text/html", 406),
]
GOOD_HEADERS = [
    ("Content-Type", 'Application/JSON; Charset="UTF-8"'),
    ("Content-Encoding", "identity"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Encoding", "identity;q=0"),
    ("Accept", "*/*"),
    ("Accept", "application/*"),
    ("Accept", "text/html, application/json;q=0.1"),
]
