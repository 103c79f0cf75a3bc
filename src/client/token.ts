import { ChatClientError } from './client-error.ts';

/** A token of the function, or `NO_TOKEN`: it may throw, give nothing, or never come to an end. */
export function fetchToken(getToken: () => string | Promise<string>, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (message: string, cause?: unknown) => reject(new ChatClientError('NO_TOKEN', message, { cause }));
    const timer = setTimeout(() => fail(`The token function took more than ${timeoutMs} ms`), timeoutMs);
    // Within the promise, so that what is thrown at once is caught like what comes later.
    Promise.resolve()
      .then(getToken)
      .then(
        (token) => (token && typeof token === 'string' ? resolve(token) : fail('The token function gave no token')),
        (error) => fail('The token function failed', error),
      )
      .finally(() => clearTimeout(timer));
  });
}
