type Close = () => unknown;

const closesAfterTest: Close[] = [];
const closesAfterFile: Close[] = [];
const closesAfterRun: Close[] = [];
const violations: Error[] = [];
const failures: unknown[] = [];
const closeTimeoutMs = 20_000;
let inTest = false;

/** Resources that a test opens are closed after the test; those opened outside of a test, after the file. */
export function closeLater(close: Close): void {
  (inTest ? closesAfterTest : closesAfterFile).push(close);
}

/** For resources that all tests share, regardless of which test opens them first. */
export function closeAfterRun(close: Close): void {
  closesAfterRun.push(close);
}

/** A violation of the protocol fails the test in which it happens, even if the test does not look at it. */
export function reportViolation(message: string): Error {
  const error = new Error(message);
  violations.push(error);
  return error;
}

export function onTestStart(): void {
  inTest = true;
  violations.length = 0;
}

export function throwViolations(): void {
  const [first] = violations.splice(0);
  if (first) throw first;
}

/** Resources that did not close are reported at the end: if this hook threw, mocha would skip all following tests. */
export async function onTestEnd(): Promise<void> {
  inTest = false;
  await closeAll(closesAfterTest);
}

export async function onFileEnd(): Promise<void> {
  await closeAll(closesAfterFile);
  throwLateFailures();
}

export async function onRunEnd(): Promise<void> {
  await closeAll(closesAfterFile);
  await closeAll(closesAfterRun);
  throwLateFailures();
}

function throwLateFailures(): void {
  const [first] = failures.splice(0);
  if (first) throw first;
}

/** Closes in reverse order. A failure does not keep the other resources open. */
async function closeAll(closes: Close[]): Promise<void> {
  for (const close of closes.splice(0).reverse()) {
    try {
      await closeInTime(close);
    } catch (error) {
      failures.push(error);
    }
  }
}

async function closeInTime(close: Close): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Not closed after ${closeTimeoutMs} ms: ${close}`)), closeTimeoutMs);
  });
  await Promise.race([close(), late]).finally(() => clearTimeout(timer));
}
