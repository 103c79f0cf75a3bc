import { reportViolation } from './cleanup.ts';
import { undocumented } from './openapi-checks.ts';
import { type Exchange, restCalls } from './rest-calls.ts';

export type RestClient = ReturnType<typeof rest>;

/** REST calls as one user to a node of ours. An undocumented response fails the test. */
export const rest = (url: string, token?: string) => restCalls(url, token, check);

function check(exchange: Exchange): void {
  const problem = undocumented(exchange);
  if (!problem) return;
  const { method, path, status, answer } = exchange;
  throw reportViolation(`${method} ${path}: ${problem}\n${status} ${JSON.stringify(answer).slice(0, 1_000)}`);
}
