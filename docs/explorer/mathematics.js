// The formulas of the page. An estimator comes in as two tables over the number of successes K = 0..N:
// table.success[K] and table.fail[K], its advantages in a group with K successes.
"use strict";

const mathematics = (() => {
  // Bin(m; n, p) for m = 0..n: outwards from the most likely count by the ratio of neighbours, then normalised. All
  // terms are positive and fall from the first on, so nothing cancels or overflows.
  function binomial(n, p) {
    const mass = new Float64Array(n + 1);
    if (p <= 0 || p >= 1) {
      mass[p <= 0 ? 0 : n] = 1;
      return mass;
    }
    const odds = p / (1 - p);
    const mode = Math.min(n, Math.floor((n + 1) * p));
    let total = (mass[mode] = 1);
    for (let m = mode; m < n; m++) total += mass[m + 1] = (mass[m] * odds * (n - m)) / (m + 1);
    for (let m = mode; m > 0; m--) total += mass[m - 1] = (mass[m] * m) / (odds * (n - m + 1));
    for (let m = 0; m <= n; m++) mass[m] /= total;
    return mass;
  }

  function mean(mass, value) {
    let sum = 0;
    for (let m = 0; m < mass.length; m++) sum += mass[m] * value(m);
    return sum;
  }

  // w with E[(1/N) sum_i A_i S_i] = w grad p: each rollout meets m successes among the N - 1 others.
  function weight(table, p) {
    const { success, fail } = table;
    return mean(binomial(success.length - 2, p), (m) => success[m + 1] - fail[m]);
  }

  // Which groups a filter keeps, and whether the same prompt is drawn again until its group is kept (docs/practice.md).
  const FILTERS = {
    none: { keep: () => true },
    mixed: { keep: (K, n) => K > 0 && K < n },
    mixed_again: { keep: (K, n) => K > 0 && K < n, again: true },
    solved_again: { keep: (K) => K > 0, again: true },
    between: { keep: (K, n) => K > 0.2 * n && K < 0.8 * n },
  };

  // The weight under a filter, and the rollouts drawn for each group: groups that are not kept have no gradient.
  function filtered(table, p, name) {
    const n = table.success.length - 1;
    const { keep, again } = FILTERS[name];
    const kept = (values) => values.map((value, K) => (keep(K, n) ? value : 0));
    const w = weight({ success: kept(table.success), fail: kept(table.fail) }, p);
    const share = again ? mean(binomial(n, p), (K) => (keep(K, n) ? 1 : 0)) : 1;
    return { weight: w / share, rollouts: n / share };
  }

  // Trace of the covariance of (1/N) sum_i A_i S_i; e1, e0: mean squared norm of a success' and a failure's score,
  // v = |grad p|^2.
  function variance(table, p, e1, e0, v) {
    const { success: s, fail: t } = table;
    const n = s.length - 1;
    const others = binomial(n - 1, p);
    const own = p * e1 * mean(others, (m) => s[m + 1] ** 2) + (1 - p) * e0 * mean(others, (m) => t[m] ** 2);
    const w = mean(others, (m) => s[m + 1] - t[m]);
    if (n === 1) return own - w * w * v;
    const pairs = mean(binomial(n - 2, p), (m) => s[m + 2] ** 2 + t[m] ** 2 - 2 * s[m + 1] * t[m + 1]);
    return own / n + v * (((n - 1) / n) * pairs - w * w);
  }

  // A policy for the variance: along grad p its scores are those of one yes-or-no decision of probability p, and each
  // has a part of squared norm `noise` besides, of mean zero and independent of the outcome.
  function scores(p, noise) {
    return { success: (1 - p) ** 2 + noise, fail: p ** 2 + noise, gradient: (p * (1 - p)) ** 2 };
  }

  // w(p) of a population objective, grad J = w(p) grad p; `number` is the order of maxrl or the k of pass_at_k.
  function objective(name, number, p) {
    const logFail = Math.log1p(-p);
    switch (name) {
      case "rl":
        return 1;
      case "ml":
        return 1 / p;
      case "grpo":
        return 1 / Math.sqrt(p * (1 - p));
      case "pass_at_k":
        return number === 1 ? 1 : number * Math.exp((number - 1) * logFail);
      case "maxrl":
        return p > 0 ? -Math.expm1(number * logFail) / p : number;
    }
    throw new Error(`no objective ${name}`);
  }

  // Advantages of real rewards, added up over thresholds: below its smallest reward a group is all success, and
  // between two neighbours it is a binary group with those above as its successes.
  function overThresholds(table, rewards) {
    const { success, fail } = table;
    const n = rewards.length;
    const rank = [...rewards.keys()].sort((a, b) => rewards[a] - rewards[b]);
    const ascending = rank.map((i) => rewards[i]);
    const below = new Float64Array(n); // gaps under the j-th smallest, as a success of each
    const above = new Float64Array(n); // gaps over it, as a failure of each
    below[0] = ascending[0] * success[n];
    for (let j = 1; j < n; j++) below[j] = below[j - 1] + (ascending[j] - ascending[j - 1]) * success[n - j];
    for (let j = n - 1; j > 0; j--) above[j - 1] = above[j] + (ascending[j] - ascending[j - 1]) * fail[n - j];
    const out = new Float64Array(n);
    rank.forEach((i, j) => (out[i] = below[j] + above[j]));
    return out;
  }

  const divided = (values, spread) => values.map((x) => (spread > 0 ? x / spread : 0));

  // Centred advantages over their standard deviation plus eps.
  function overSpread(table, rewards, { eps, ddof }) {
    const values = overThresholds(table, rewards);
    const squares = values.reduce((sum, x) => sum + x * x, 0);
    return divided(values, Math.sqrt(squares / (rewards.length - ddof)) + eps);
  }

  // Over the standard deviation of the best of k, whose m-th smallest reward it is with probability ranks[m].
  function overSubsetSpread(table, rewards, { eps, ranks }) {
    const ascending = [...rewards].sort((a, b) => a - b);
    const centre = ascending.reduce((sum, g, m) => sum + ranks[m] * (g - ascending[0]), ascending[0]);
    const square = ascending.reduce((sum, g, m) => sum + ranks[m] * (g - centre) ** 2, 0);
    return divided(overThresholds(table, rewards), Math.sqrt(square) + eps);
  }

  // Mean of the binary form over independent acceptances r_j ~ Bernoulli(g_j), rewards in [0, 1].
  function overAcceptances(table, rewards) {
    return Float64Array.from(rewards, (own, i) => {
      let mass = [1]; // of the number accepted among the others
      rewards.forEach((g, j) => {
        if (j === i) return;
        const next = new Array(mass.length + 1).fill(0);
        mass.forEach((chance, m) => ((next[m] += chance * (1 - g)), (next[m + 1] += chance * g)));
        mass = next;
      });
      return mean(mass, (m) => own * table.success[m + 1] + (1 - own) * table.fail[m]);
    });
  }

  return { binomial, weight, FILTERS, filtered, variance, scores, objective, overThresholds, overSpread, overSubsetSpread, overAcceptances };
})();
