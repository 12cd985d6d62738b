// The places of a word in the sentences, and how well the vectors separate its meanings.

const MOST_SHARED = 8;

/** A token in the form in which words are compared: lower case, without punctuation around it. */
export function plain(token) {
  return token.toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
}

/** The occurrences of a word in the data of /embed: [{sentence, token, name, context}]. */
export function occurrences(data, word) {
  return data.flatMap(({tokens}, sentence) => {
    const places = tokens.flatMap((token, i) => (plain(token) === word ? [i] : []));
    return places.map((token, k) => ({
      sentence,
      token,
      name: `${sentence + 1}${"′".repeat(k)}`,
      context: tokens.join(" "),
    }));
  });
}

/** Words that are in at least two sentences, the most frequent first. */
export function sharedWords(data) {
  const counts = new Map();
  for (const {tokens} of data)
    for (const word of new Set(tokens.map(plain)))
      if (/\p{L}/u.test(word)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts]
    .filter(([, n]) => n > 1)
    .sort((a, b) => b[1] - a[1])
    .slice(0, MOST_SHARED)
    .map(([word]) => word);
}

function mean(numbers) {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

/** How well the cosines of `points` agree with their senses, or "" if there is only one sense. */
export function verdict(points, cosines) {
  const within = [];
  const across = [];
  let nRight = 0;
  points.forEach((point, i) => {
    const others = points
      .map((other, j) => ({isSame: other.sense === point.sense, cosine: cosines[i][j]}))
      .filter((_, j) => j !== i);
    for (const {isSame, cosine} of others) (isSame ? within : across).push(cosine);
    nRight += others.reduce((best, other) => (other.cosine > best.cosine ? other : best)).isSame;
  });
  if (!within.length || !across.length) return "";
  return (
    `Similarity ${mean(within).toFixed(2)} within a meaning, ${mean(across).toFixed(2)} across. ` +
    `For ${nRight} of ${points.length} dots the nearest has the same meaning.`
  );
}
