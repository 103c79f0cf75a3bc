type Close = () => unknown;

const ofTest: Close[] = [];
const ofRun: Close[] = [];
const violations: Error[] = [];
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

export async function testEnds(): Promise<void> {
  inTest = false;
  await closeAll(ofTest);
}

export function runEnds(): Promise<void> {
  return closeAll(ofRun);
}

/** The last one opened first; one that fails does not keep the others open. */
async function closeAll(closes: Close[]): Promise<void> {
  const failures: unknown[] = [];
  for (const close of closes.splice(0).reverse()) {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
