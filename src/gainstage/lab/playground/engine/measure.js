/** What is measured of a layer: level, histogram, units that are dead. */

export const BINS = 41;

/** Root mean square. */
export function rms(x) {
  let sum = 0;
  for (const entry of x) sum += entry * entry;
  return Math.sqrt(sum / x.length);
}

/**
 * `{ mean, std, low, high, shares }`: the share of the entries in each of `BINS` bins; the outer ones take what lies
 * beyond.
 */
export function histogram(x, low, high) {
  const shares = new Float64Array(BINS);
  let sum = 0;
  for (const entry of x) {
    sum += entry;
    const bin = Math.floor(((entry - low) / (high - low)) * BINS);
    shares[Math.min(BINS - 1, Math.max(0, bin || 0))] += 1 / x.length;
  }
  const mean = sum / x.length;
  let squares = 0;
  for (const entry of x) squares += (entry - mean) ** 2;
  return { mean, std: Math.sqrt(squares / x.length), low, high, shares };
}

/** A histogram around its own values: as far as four standard deviations on both sides of the mean, or the extremes. */
export function ownHistogram(x) {
  const { mean, std } = histogram(x, -1, 1);
  let [low, high] = [Infinity, -Infinity];
  for (const entry of x) {
    if (entry < low) low = entry;
    if (entry > high) high = entry;
  }
  low = Math.max(low, mean - 4 * std);
  high = Math.min(high, mean + 4 * std);
  if (!(high > low)) [low, high] = [mean - 1, mean + 1];
  return histogram(x, low, high);
}

/** Share of the units whose activation is flat, |φ'| < 0.001, on every sample: no gradient passes through them. */
export function deadShare(slope, x, width) {
  const alive = new Uint8Array(width);
  for (let i = 0; i < x.length; i++) if (Math.abs(slope(x[i])) >= 1e-3) alive[i % width] = 1;
  return 1 - alive.reduce((sum, a) => sum + a, 0) / width;
}
