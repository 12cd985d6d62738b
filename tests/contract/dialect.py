"""The dialects of the paths: the same request and the same problem in the form of each dialect."""

ROOTS = ("/v1", "/v2")  # OpenAI, Open Inference Protocol; all other paths are native
OPENAI_CODES = {
    "input_too_long": "context_length_exceeded",
    "queue_full": "rate_limit_exceeded",
    "unauthorized": "invalid_api_key",
}


def root_of(path):
    """The root of the dialect of the path; "" for native paths."""
    return next((root for root in ROOTS if (path + "/").startswith(root + "/")), "")


def body_of(path, inputs, model="elmo-small"):
    """A request with these inputs, one text or several."""
    if root_of(path) == "/v1":
        return {"model": model, "input": inputs}
    if root_of(path) == "/v2":
        data = [inputs] if isinstance(inputs, str) else inputs
        tensor = {"name": "text", "shape": [len(data)], "datatype": "BYTES", "data": data}
        return {"id": "7", "inputs": [tensor]}
    return {"inputs": inputs}


def status_of(path, status, code):
    """The status of a native problem in the dialect of `path`."""
    within_body = status == 422 or code in ("too_many_inputs", "too_many_tokens")
    return 400 if root_of(path) and within_body else status


def codes_of(path, answer):
    """The native codes that the problem in the answer may have; None: the answer has no code."""
    if root_of(path) == "/v2":
        return None
    if not root_of(path):
        return [answer.json()["code"]]
    code = answer.json()["error"]["code"]
    return [code] + [native for native, own in OPENAI_CODES.items() if own == code]
