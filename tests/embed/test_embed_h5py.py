#!/usr/bin/python3
"""What elmo-embed writes, read as its users read it: with h5py and numpy, by the code of AllenNLP's
users; and a model of AllenNLP's own fixtures against AllenNLP's own vectors."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import h5py
    import numpy
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(77)

EMBED = os.environ["ELMO_EMBED"]
CONVERT = os.environ["ELMO_CONVERT"]
ROOT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"])
MODEL = ROOT / "tests/golden/relu_skip_clips.safetensors"
ALLENNLP = pathlib.Path(os.environ["ELMOD_SHARED"], "golden/allennlp")
SENTENCES = [
    "The cat sat on the mat .",
    "Größe \U0001f600 \"quoted\" \\ and a / slash .",
    "one",
    "The cat sat on the mat .",
    "a b c d e f g h i j k l m n o p",
]


class Embed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_embed(self, name, *options, model=MODEL, sentences=SENTENCES):
        (self.folder / "in.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
        out = self.folder / name
        subprocess.run(
            [EMBED, "--quiet", "--model", model, self.folder / "in.txt", out, *options],
            check=True,
        )
        return out

    def test_sentence_to_index_leads_to_the_vectors(self):
        with h5py.File(self.run_embed("out.hdf5", "--all"), "r") as file:
            text = file["sentence_to_index"][0]
            index = json.loads(text)
            expected = {sentence: str(k) for k, sentence in enumerate(SENTENCES)}
            self.assertEqual(expected, index)
            self.assertEqual((1,), file["sentence_to_index"].shape)
            self.assertIs(str, h5py.check_dtype(vlen=file["sentence_to_index"].dtype))
            numbers = [str(k) for k in range(len(SENTENCES))]
            self.assertEqual(numbers + ["sentence_to_index"], list(file))
            for sentence, key in index.items():
                self.assertEqual(numpy.float32, file[key].dtype)
                self.assertEqual(len(sentence.split()), file[key].shape[1])
            half = file["0"].shape[2] // 2
            self.assertTrue((file["0"][0, :, :half] == file["0"][0, :, half:]).all())

    def test_top_and_average_are_of_all(self):
        with h5py.File(self.run_embed("all.hdf5", "--all"), "r") as everything, h5py.File(
            self.run_embed("top.hdf5", "--top"), "r"
        ) as top, h5py.File(self.run_embed("average.hdf5", "--average"), "r") as average:
            for key in map(str, range(len(SENTENCES))):
                layers = everything[key][()]
                numpy.testing.assert_array_equal(layers[-1], top[key][()])
                mean = numpy.average(layers, axis=0)
                numpy.testing.assert_allclose(mean, average[key][()], atol=1e-6)

    def test_sentences_are_keys(self):
        by_number = self.run_embed("out.hdf5", "--all")
        by_sentence = self.run_embed("keys.hdf5", "--all", "--use-sentence-keys")
        with h5py.File(by_number, "r") as expected, h5py.File(by_sentence, "r") as found:
            for number, sentence in enumerate(SENTENCES):
                numpy.testing.assert_array_equal(expected[str(number)][()], found[sentence][()])

    def test_npy_has_the_same_rows(self):
        folder = self.run_embed("out", "--all", "--format", "npy")
        rows = numpy.load(folder / "all.npy", mmap_mode="r")
        offsets = numpy.load(folder / "offsets.npy")
        lines = numpy.load(folder / "lines.npy")
        with h5py.File(self.run_embed("out.hdf5", "--all"), "r") as file:
            for k, line in enumerate(lines):
                own = rows[offsets[k] : offsets[k + 1]].transpose(1, 0, 2)
                numpy.testing.assert_array_equal(file[str(line)][()], own)
        self.assertEqual(len(SENTENCES), len(lines))
        self.assertEqual(len(rows), offsets[-1])

    @unittest.skipUnless(ALLENNLP.is_dir(), "../shared/golden/allennlp is not there")
    def test_vectors_are_those_of_allennlp(self):
        model = self.folder / "model.safetensors"
        subprocess.run(
            [CONVERT, "--options", ALLENNLP / "options.json", "--weights"]
            + [ALLENNLP / "lm_weights.hdf5", "--tokenizer", "whitespace"]
            + ["--name", "allennlp", "--out", model],
            check=True,
        )
        # The first of each: AllenNLP carries the state from there on.
        streams = json.loads((ALLENNLP / "sentences.json").read_text(encoding="utf-8"))
        out = self.run_embed(
            "out.hdf5", "--top", model=model, sentences=[stream[0] for stream in streams]
        )
        with h5py.File(out, "r") as file:
            for k in range(len(streams)):
                with h5py.File(ALLENNLP / f"lm_embeddings_{k}.hdf5", "r") as expected:
                    both = numpy.concatenate(list(expected["0"][()]), axis=-1)
                numpy.testing.assert_allclose(file[str(k)][()], both, atol=1e-5)


if __name__ == "__main__":
    unittest.main()
