import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Request, Response } from 'express';

export interface ServedFile {
  type: 'html' | 'css' | 'svg' | 'js' | 'json';
  text: string;
  etag: string;
}

/** True if the server runs from its TypeScript sources. */
export const fromSources = import.meta.url.endsWith('.ts');
/** The directory that contains `playground/` and `src/`: the project, or its `dist`. */
export const codeRoot = new URL('../../../', import.meta.url);

export const computeEtag = (text: string) => `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;

/** Compressed bodies by ETag, so that each version of a file is compressed only once. */
const compressed = new Map<string, Buffer>();

function gzipFile({ etag, text }: ServedFile): Buffer {
  let body = compressed.get(etag);
  if (!body) {
    // The map only grows this large while someone edits the sources, which creates new versions of files.
    if (compressed.size >= 200) compressed.clear();
    body = gzipSync(text);
    compressed.set(etag, body);
  }
  return body;
}

/** With `no-cache`, the browser checks at each request whether the file has changed. */
export function sendFile(request: Request, response: Response, file: ServedFile, cacheControl = 'no-cache'): void {
  const { type, text, etag } = file;
  response.set({ 'Cache-Control': cacheControl, ETag: etag });
  response.vary('Accept-Encoding').type(type);
  if (!request.acceptsEncodings('gzip')) return void response.send(text);
  response.set({ 'Content-Encoding': 'gzip', ETag: etag.replace(/"$/, '-gzip"') }).send(gzipFile(file));
}
