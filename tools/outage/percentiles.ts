/** Collects latencies in ms, grouped by the phase in which they were measured. */
export class Latencies {
  readonly #byPhase = new Map<string, number[]>();

  add(phase: string, ms: number): void {
    const taken = this.#byPhase.get(phase);
    if (taken) taken.push(ms);
    else this.#byPhase.set(phase, [ms]);
  }

  row(phase: string): { count: number; p50: number; p99: number; max: number } {
    const sorted = (this.#byPhase.get(phase) ?? []).toSorted((a, b) => a - b);
    const at = (share: number) => Number((sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN).toFixed(1));
    return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
  }
}
