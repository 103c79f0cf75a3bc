type Close = () => unknown;

const ofTest: Close[] = [];
const ofRun: Close[] = [];
const violations: Error[] = [];
const failures: unknown[] = [];
const patienceMs = 8_000;
let inTest = false;

/** What is opened in a test is closed when it ends; what is opened outside of one, at the end of the run. */
export function closeLater(close: Close): void {
  (inTest ? ofTest : ofRun).push(close);
}

/** For what all tests share, whoever of them was the first to want it. */
export function closeAtTheEnd(close: Close): void {
  ofRun.push(close);
}

/** A breach of the protocol fails the test it happens in, also when the test looks elsewhere. */
export function violation(message: string): Error {
  const error = new Error(message);
  violations.push(error);
  return error;
}

export function testBegins(): void {
  inTest = true;
  violations.length = 0;
}

export function throwViolations(): void {
  const [first] = violations.splice(0);
  if (first) throw first;
}

/** What did not close is said at the end: a hook that throws here would skip all tests to come. */
export async function testEnds(): Promise<void> {
  inTest = false;
  await closeAll(ofTest);
}

export async function runEnds(): Promise<void> {
  await closeAll(ofRun);
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
      await inTime(close);
    } catch (error) {
      failures.push(error);
    }
  }
}

async function inTime(close: Close): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Not closed after ${patienceMs} ms: ${close}`)), patienceMs);
  });
  await Promise.race([close(), late]).finally(() => clearTimeout(timer));
}
