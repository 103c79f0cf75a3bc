type Close = () => unknown;

const closesAfterTest: Close[] = [];
const closesAfterRun: Close[] = [];
const violations: Error[] = [];
const failures: unknown[] = [];
const closeTimeoutMs = 8_000;
let inTest = false;

/** What is opened in a test is closed when it ends; what is opened outside of one, at the end of the run. */
export function closeLater(close: Close): void {
  (inTest ? closesAfterTest : closesAfterRun).push(close);
}

/** For what all tests share, whoever of them was the first to want it. */
export function closeAfterRun(close: Close): void {
  closesAfterRun.push(close);
}

/** A breach of the protocol fails the test it happens in, also when the test looks elsewhere. */
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

/** What did not close is said at the end: a hook that throws here would skip all tests to come. */
export async function onTestEnd(): Promise<void> {
  inTest = false;
  await closeAll(closesAfterTest);
}

export async function onRunEnd(): Promise<void> {
  await closeAll(closesAfterRun);
  throwLateFailures();
}

export function throwLateFailures(): void {
  const [first] = failures.splice(0);
  if (first) throw first;
}

/** The last one opened first; one that fails does not keep the others open. */
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
