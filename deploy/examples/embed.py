#!/usr/bin/python3
"""How similar are the vectors of one word in three sentences? Needs requests and numpy.

usage: embed.py [URL]    of elmod; default http://127.0.0.1:8080
"""
import base64
import sys

import numpy
import requests

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
WORD = "play"
SENTENCES = [
    "The children play in the garden all day.",
    "They play cards every evening.",
    "The play was performed in a small theatre.",
]


def embed(session, texts, output):
    """Returns [(tokens, float32 matrix [n_tokens, dim])], a pair for each text."""
    # base64 of little-endian float32 is shorter and faster to read than JSON numbers.
    body = {"inputs": texts, "outputs": [output], "encoding_format": "base64"}
    answer = session.post(URL + "/embed", json=body, timeout=60)
    if not answer.ok:
        problem = answer.json()  # application/problem+json: what is wrong, and where
        raise SystemExit(f"{problem['status']} {problem['code']}: {problem['detail']}")
    pairs = []
    for item in answer.json()["data"]:
        flat = numpy.frombuffer(base64.b64decode(item[output]), "<f4")
        pairs.append((item["tokens"], flat.reshape(len(item["tokens"]), -1)))
    return pairs


def cosine(a, b):
    return float(a @ b / (numpy.linalg.norm(a) * numpy.linalg.norm(b)))


def main():
    with requests.Session() as session:  # keeps its connection
        pairs = embed(session, SENTENCES, "lstm_outputs2")
    verb, other_verb, noun = (matrix[tokens.index(WORD)] for tokens, matrix in pairs)
    print(f"verb, verb: {cosine(verb, other_verb):.3f}")
    print(f"verb, noun: {cosine(verb, noun):.3f}")


if __name__ == "__main__":
    main()
