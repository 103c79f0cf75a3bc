import { z } from 'zod';
import {
  type WebhookEventName,
  webhookEventNames,
  webhookNameError,
  webhookNameShape,
} from '../core/webhook-events.ts';
import { parseWebhookSecrets } from '../core/webhook-signature.ts';
import { readText } from './read-text.ts';

/** An endpoint of the product's backend that receives the changes of all rooms. */
export interface WebhookEndpoint {
  /** The identity of the endpoint: its positions survive another URL and another secret. */
  name: string;
  url: string;
  secrets: Uint8Array[];
  /** Undefined means all. */
  events: readonly WebhookEventName[] | undefined;
  timeoutMs: number;
}

const urlError = 'must be a URL that starts with http:// or https://, without a user, a password or a #';

const isWebhookUrl = (value: string) => {
  if (!URL.canParse(value)) return false;
  const { protocol, username, password, hash } = new URL(value);
  return (protocol === 'http:' || protocol === 'https:') && username + password + hash === '';
};

const secrets = z.string({ error: 'must be a string' }).transform((text, context) => {
  const parsed = parseWebhookSecrets(text);
  if (typeof parsed !== 'string') return parsed;
  context.addIssue({ code: 'custom', message: parsed });
  return z.NEVER;
});

const timeoutError = 'must be a whole number from 1 to 60';

const Endpoint = z
  .strictObject(
    {
      name: z.string({ error: webhookNameError }).regex(webhookNameShape, webhookNameError),
      url: z.string({ error: urlError }).refine(isWebhookUrl, urlError),
      secret: secrets,
      events: z
        .array(z.enum(webhookEventNames, { error: `must be one of ${webhookEventNames.join(', ')}` }), {
          error: 'must be a list of names',
        })
        .min(1, 'must not be empty; leave it out to receive everything')
        .optional(),
      timeout_seconds: z.int({ error: timeoutError }).min(1, timeoutError).max(60, timeoutError).default(15),
    },
    { error: (issue) => (issue.code === 'unrecognized_keys' ? undefined : 'must be an object') },
  )
  .transform(
    ({ secret, timeout_seconds, events, ...endpoint }): WebhookEndpoint => ({
      ...endpoint,
      events,
      secrets: secret,
      timeoutMs: timeout_seconds * 1_000,
    }),
  );

const maxEndpoints = 20;

const Endpoints = z
  .array(Endpoint, { error: 'must be a JSON list of objects with name, url and secret' })
  .max(maxEndpoints, `must have at most ${maxEndpoints} entries`)
  .superRefine((endpoints, context) => {
    endpoints.forEach(({ name }, index) => {
      if (endpoints.findIndex((other) => other.name === name) === index) return;
      context.addIssue({ code: 'custom', path: [index, 'name'], message: `${name} is used twice` });
    });
  });

/** Parses a JSON list of endpoints, or `@` and the path of a file that contains it. */
export const webhookEndpoints = z.string().transform((value, context): WebhookEndpoint[] => {
  const fail = (message: string) => {
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  };
  let text = value;
  if (value.startsWith('@')) {
    try {
      text = readText(value.slice(1));
    } catch (error) {
      return fail(`${value.slice(1)} ${(error as Error).message}`);
    }
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return fail('must be a JSON list of endpoints, or @ and the path of a file that contains one');
  }
  const parsed = Endpoints.safeParse(json);
  if (parsed.success) return parsed.data;
  for (const { path, message } of parsed.error.issues) fail([formatPath(path), message].filter(Boolean).join(': '));
  return z.NEVER;
});

/** Formats the path of a field, such as `[0].url`. */
const formatPath = (path: readonly PropertyKey[]) =>
  path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');

/** Describes endpoints whose requests anybody on their way could read and change. */
export function findInsecureWebhooks(endpoints: readonly WebhookEndpoint[]): string[] {
  return endpoints
    .filter(({ url }) => new URL(url).protocol === 'http:' && isPublicHost(new URL(url).hostname))
    .map(
      ({ name, url }) =>
        `WEBHOOKS: ${name} sends messages over http to the public name ${new URL(url).hostname}: anybody on the way can read them; use https`,
    );
}

const privateNames = /(^|\.)(localhost|local|internal|intranet|lan|home|corp|private|svc|test|home\.arpa)$/;
const privateIpv4 = /^(10|127|169\.254|192\.168|172\.(1[6-9]|2\d|3[01]))\./;
const privateIpv6 = /^\[(::1|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:)/;

/** A name without a dot, such as that of a container, is resolved only in a private network. */
function isPublicHost(host: string): boolean {
  if (host.startsWith('[')) return !privateIpv6.test(host);
  return host.includes('.') && !privateIpv4.test(host) && !privateNames.test(host);
}
