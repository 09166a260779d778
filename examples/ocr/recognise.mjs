// PP-OCRv4's recogniser, around the model: what goes in, and what its output says.

/** The model's input, float32 of shape [1, 3, height, width]: three equal planes, ink -1 and paper 1. */
export function toInput({ width, height, ink }) {
  const pixels = width * height;
  const data = new Float32Array(3 * pixels);
  for (let plane = 0; plane < 3; plane++) {
    for (let at = 0; at < pixels; at++) data[plane * pixels + at] = 1 - 2 * ink[at];
  }
  return { data, shape: [1, 3, height, width] };
}

/** The character list that comes with the model: one a line; class 0 is "no character", the last a space. */
export function readCharacters(text) {
  return ['', ...text.split('\n').filter((line) => line !== ''), ' '];
}

/**
 * Greedy CTC decoding: the likeliest class of each step, repeats and "no character" left out.
 * @param scores float32, `shape` [1, steps, classes].
 * Returns the text and the lowest probability of a character in it (0 when there is none);
 * text is null where the scores are not probabilities, as with damaged weights.
 */
export function decode(scores, shape, characters) {
  const [, steps, classes] = shape;
  if (classes !== characters.length) {
    throw new Error(`the model has ${classes} classes, the character list ${characters.length}`);
  }
  if (!scores.every((value) => value >= 0 && value <= 1.0001)) return { text: null, confidence: 0 };
  let text = '';
  let confidence = 1;
  let previous = 0;
  for (let step = 0; step < steps; step++) {
    const row = scores.subarray(step * classes, (step + 1) * classes);
    let best = 0;
    for (let at = 1; at < classes; at++) if (row[at] > row[best]) best = at;
    if (best !== previous && best !== 0) {
      text += characters[best];
      confidence = Math.min(confidence, row[best]);
    }
    previous = best;
  }
  return { text, confidence: text === '' ? 0 : confidence };
}
