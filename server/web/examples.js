// The examples of the panels. The words were chosen because the built-in model separates their meanings
// in its upper layers. In word_emb they are one point.

/** `senses`: lists of sentences, one list for each meaning. */
export const MEANINGS = [
  {
    word: "bear",
    senses: [
      [
        "A bear came out of the woods.",
        "The hunters saw a huge brown bear.",
        "The bear slept in its cave all winter.",
      ],
      [
        "I cannot bear this noise.",
        "She could not bear to see him go.",
        "How can you bear such a life?",
      ],
    ],
  },
  {
    word: "watch",
    senses: [
      [
        "He looked at his gold watch.",
        "My watch has stopped again.",
        "She gave him a watch for his birthday.",
      ],
      [
        "We watch a film every Friday.",
        "You should watch this movie with friends.",
        "I like to watch the birds.",
      ],
    ],
  },
  {
    word: "lie",
    senses: [
      ["That was a lie and you know it.", "He told her a lie.", "It is a lie to say so."],
      ["I want to lie down on the bed.", "They lie on the beach all day.", "You must lie still."],
    ],
  },
  {
    word: "play",
    senses: [
      [
        "The play opens in London next week.",
        "She wrote a play about her grandmother.",
        "We saw the play twice and loved it.",
      ],
      [
        "The children play in the garden.",
        "They play football every Sunday.",
        "He taught me how to play chess.",
      ],
    ],
  },
  {
    word: "saw",
    senses: [
      ["I saw her in the garden.", "We saw a film last night.", "He saw that she was crying."],
      [
        "He cut the wood with a saw.",
        "The saw was old and rusty.",
        "She bought a hammer and a saw.",
      ],
    ],
  },
  {
    word: "leaves",
    senses: [
      [
        "The leaves fell from the trees.",
        "Yellow leaves covered the ground.",
        "The wind blew the leaves away.",
      ],
      [
        "She leaves the house at dawn.",
        "He leaves his wife and child.",
        "The film leaves you cold.",
      ],
    ],
  },
  {
    word: "bank",
    note: "Both are nouns, and only the topic separates them. That is hard for a small model.",
    senses: [
      [
        "She put her money in the bank.",
        "They robbed the bank at noon.",
        "He works at a bank in London.",
      ],
      [
        "We sat on the bank of the river.",
        "The boat lay on the muddy bank.",
        "Trees grew along the river bank.",
      ],
    ],
  },
];

export const SENTIMENTS = [
  {
    name: "torn",
    text: "The story is a mess, but the acting is superb and the ending made me cry.",
  },
  {name: "praise", text: "A gripping, funny and moving film. I loved every minute of it."},
  {name: "blame", text: "Dull, slow and far too long. What a waste of a wonderful cast."},
  {name: "let down", text: "I wanted to love this film, but it was boring."},
];

export const SURPRISES = [
  {name: "elephants", text: "I would not recommend this film to elephants."},
  {name: "cliché", text: "This is one of the best movies I have ever seen."},
  {name: "sandwich", text: "It was a dark and stormy sandwich."},
  {name: "shuffled", text: "One best I have movies the of this ever seen is."},
];
