import { z } from 'zod';
import { NonNilUuid } from '../../core/ids.ts';
import { CustomData, Seq } from '../../core/log/message.ts';

/** The size is not limited here: `assertContentSize` compares it with `MAX_CONTENT_BYTES` and throws `TOO_LARGE`. */
export const Content = z
  .string({ error: 'must be a string' })
  .refine((content) => !content.includes('\0'), 'must not contain NUL')
  .refine((content) => content.isWellFormed(), 'must be valid Unicode, without lone surrogates')
  .meta({
    id: 'Content',
    description:
      'Valid Unicode without NUL, at most 8,192 bytes of UTF-8 (`MAX_CONTENT_BYTES`). It must not be empty, unless the message has `custom`.',
  });

export const ClientMsgId = z
  .string({ error: 'must be a string' })
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ -')
  .meta({
    id: 'ClientMsgId',
    description:
      "The sender's id for a message, unique per room and emitter: a message that is sent twice is stored once.",
  });

const maxMentions = 50;

/** Fewer than common JSON parsers accept, because the frames around the custom data add some levels. */
const maxCustomDepth = 50;

/**
 * Custom data as the sender gives it. Its size is compared with `MAX_CUSTOM_BYTES` later. PostgreSQL cannot store NUL,
 * and UTF-8 cannot encode lone surrogates. The check comes first, because parsing a record leaves `__proto__` out.
 */
export const Custom = z
  .preprocess((custom, ctx) => {
    if (typeof custom !== 'object') return custom;
    if (isDeeper(custom, maxCustomDepth)) ctx.addIssue(`must not have more than ${maxCustomDepth} levels`);
    else if (!isStorable(custom)) ctx.addIssue('must not contain NUL, lone surrogates or the key __proto__');
    return custom;
  }, CustomData)
  .meta({
    id: 'Custom',
    description:
      'JSON of the app, at most 4,096 bytes of UTF-8 (`MAX_CUSTOM_BYTES`) and 50 levels. The service does not interpret it.',
  });

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((entry) => isDeeper(entry, levels - 1));
}

function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0');
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(isStorable);
  return Object.entries(value).every(([key, entry]) => key !== '__proto__' && isStorable(key) && isStorable(entry));
}

export const Mentions = z
  .array(NonNilUuid, { error: 'must be an array of UUIDs' })
  .max(maxMentions, `must have at most ${maxMentions} entries`)
  .transform((mentions) => [...new Set(mentions)])
  .describe(`Users and organisations to address, at most ${maxMentions}. A mention gives no access.`);

/** The fields that a message may have besides its content. */
export const draftExtras = {
  reply_to: Seq.nullish().describe('The `seq` of the message that this message quotes.'),
  thread: Seq.nullish().describe('The `seq` of the root of the thread to reply in. The root must not be a reply.'),
  mentions: Mentions.nullish(),
  mention_room: z.boolean({ error: 'must be true or false' }).nullish().describe('Address everybody in the room.'),
  custom: Custom.nullish(),
  silent: z.boolean({ error: 'must be true or false' }).nullish().describe('Do not count the message as unread.'),
};

export const draftFields = { content: Content, client_msg_id: ClientMsgId.nullish(), ...draftExtras };

/** The arguments of `refine`: only a message with custom data may have empty content. */
export const requireContent = [
  ({ content, custom }: { content: string; custom?: unknown }) => content !== '' || custom != null,
  { path: ['content'] as string[], message: 'must not be empty' },
] as const;

export const Draft = z
  .object(draftFields, { error: 'the body must be a JSON object' })
  .refine(...requireContent)
  .meta({ id: 'Draft', description: 'A message to send.' });
export type Draft = z.infer<typeof Draft>;
