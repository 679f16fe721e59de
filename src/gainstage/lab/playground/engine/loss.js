/**
 * Cross-entropy of the softmax, averaged over the batch: −log softmax(z)[label]; its gradient is
 * (softmax(z) − onehot(label)) / samples.
 */

export function softmax(logits, classes) {
  const shares = new Float64Array(logits.length);
  for (let first = 0; first < logits.length; first += classes) {
    const highest = Math.max(...logits.subarray(first, first + classes));
    let total = 0;
    for (let i = first; i < first + classes; i++) total += shares[i] = Math.exp(logits[i] - highest);
    for (let i = first; i < first + classes; i++) shares[i] /= total;
  }
  return shares;
}

/** `{ loss, accuracy, gradient }` of a batch; `labels` are 0 … classes − 1. */
export function crossEntropy(logits, labels, classes) {
  const gradient = softmax(logits, classes);
  const samples = labels.length;
  let [loss, right] = [0, 0];
  for (let s = 0; s < samples; s++) {
    const row = logits.subarray(s * classes, (s + 1) * classes);
    const highest = Math.max(...row);
    const sum = row.reduce((total, z) => total + Math.exp(z - highest), 0);
    loss += (highest + Math.log(sum) - row[labels[s]]) / samples;
    right += row.indexOf(highest) === labels[s] ? 1 : 0;
    gradient[s * classes + labels[s]] -= 1;
  }
  return { loss, accuracy: right / samples, gradient: gradient.map((g) => g / samples) };
}
