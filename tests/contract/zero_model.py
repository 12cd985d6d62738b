"""Makes model files of any size with weights of zero, so that the file is a hole on the disk.

They return only zero vectors, as slowly as a real model of their size.
"""
import hashlib
import json
import math
import struct


def shapes(cell_dim, proj_dim, n_labels):
    """The tensors of a biLM with two layers and the smallest token encoder, and of a head."""
    char_dim, n_filters = 4, 8
    yield "char_embed", [261, char_dim]
    yield "CNN/W_cnn_0", [1, 1, char_dim, n_filters]
    yield "CNN/b_cnn_0", [n_filters]
    yield "CNN_proj/W_proj", [n_filters, proj_dim]
    yield "CNN_proj/b_proj", [proj_dim]
    for direction in (0, 1):
        for layer in (0, 1):
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            yield f"{cell}/W_0", [2 * proj_dim, 4 * cell_dim]
            yield f"{cell}/B", [4 * cell_dim]
            yield f"{cell}/W_P_0", [cell_dim, proj_dim]
    if n_labels:
        hidden_dim = 4
        yield "sentiment/mix/weights", [3]
        yield "sentiment/mix/gamma", [1]
        yield "sentiment/dense_1/kernel", [2 * proj_dim, hidden_dim]
        yield "sentiment/dense_1/bias", [hidden_dim]
        yield "sentiment/dense_2/kernel", [hidden_dim, n_labels]
        yield "sentiment/dense_2/bias", [n_labels]


def options(cell_dim, proj_dim):
    """The options.json (bilm-tf) of these tensors."""
    return {
        "lstm": {
            "dim": cell_dim,
            "projection_dim": proj_dim,
            "n_layers": 2,
            "cell_clip": 3,
            "proj_clip": 3,
            "use_skip_connections": True,
        },
        "char_cnn": {
            "activation": "relu",
            "embedding": {"dim": 4},
            "filters": [[1, 8]],
            "n_highway": 0,
            "max_characters_per_token": 50,
            "n_characters": 262,
        },
    }


def write_zero_model(path, cell_dim=16, proj_dim=4, labels=("no", "maybe", "yes")):
    """Writes a model file of float32 zeros. Without labels it has no sentiment head."""
    metadata = {
        "elmo_format": "1",
        "name": "zero",
        "tokenizer": "whitespace",
        "options": json.dumps(options(cell_dim, proj_dim)),
    }
    if labels:
        metadata["labels"] = json.dumps(labels)
    write_zeros(path, metadata, shapes(cell_dim, proj_dim, len(labels)))


def write_zero_softmax(path, cell_dim=16, proj_dim=4, n_words=100):
    """Writes the LM softmax of such a model. After the three marks its words are w3, w4 and so on."""
    digest = hashlib.sha256()
    for name, shape in sorted(shapes(cell_dim, proj_dim, 0)):
        digest.update(f"{name}\0F32\0{shape}\0".encode())
        digest.update(bytes(4 * math.prod(shape)))
    metadata = {
        "elmo_softmax_format": "1",
        "name": "zero",
        "bilm_sha256": digest.hexdigest(),
        "vocabulary": json.dumps(["<S>", "</S>", "<UNK>"] + [f"w{k}" for k in range(3, n_words)]),
    }
    write_zeros(path, metadata, [("softmax/W", [n_words, proj_dim]), ("softmax/b", [n_words])])


def write_zeros(path, metadata, tensors):
    """Writes a safetensors file of zeros."""
    header = {"__metadata__": metadata}
    end = 0
    for name, shape in tensors:
        start = end
        end += 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
