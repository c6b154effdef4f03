// Prometheus' text, read back: counters, gauges, histograms, and quantiles of what happened between two readings.

/** Sums over labels: {values: Map name -> number, histograms: Map name -> Map upper bound -> count}. */
export function parseMetrics(text) {
  const values = new Map();
  const histograms = new Map();
  for (const line of text.split("\n")) {
    const found = /^([\w:]+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const [, name, labels = "", number] = found;
    const value = Number(number);
    const bound = /(?:^|,)le="([^"]+)"/.exec(labels);
    if (bound && name.endsWith("_bucket")) {
      const key = name.slice(0, -"_bucket".length);
      if (!histograms.has(key)) histograms.set(key, new Map());
      const upper = bound[1] === "+Inf" ? Infinity : Number(bound[1]);
      const buckets = histograms.get(key);
      buckets.set(upper, (buckets.get(upper) ?? 0) + value);
    } else {
      values.set(name, (values.get(name) ?? 0) + value);
    }
  }
  return { values, histograms };
}

/** Counts between two readings; `before` null: since the start. */
export function histogramSince(now, before, name) {
  const buckets = now.histograms.get(name) ?? new Map();
  const old = before?.histograms.get(name);
  return [...buckets].sort(([a], [b]) => a - b).map(([upper, count]) => [upper, count - (old?.get(upper) ?? 0)]);
}

/** The q-quantile, evenly spread inside its bucket as Prometheus does it; NaN without observations. */
export function quantile(buckets, q) {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total <= 0) return NaN;
  let lower = 0;
  let below = 0;
  for (const [upper, count] of buckets) {
    if (count >= q * total) return upper === Infinity ? lower : lower + ((upper - lower) * (q * total - below)) / Math.max(count - below, 1e-9);
    lower = upper;
    below = count;
  }
  return lower;
}
