/**
 * Patches: @electric-sql/pglite@0.5.8
 *
 * Change: replaces `execProtocolStream`, through which every query runs.
 * Reason: PGlite decodes each value with a `TextDecoder` that drops a leading U+FEFF.
 * Test: test/unit/patches/pglite-byte-order-marks.test.ts
 */

import type { PGlite } from '@electric-sql/pglite';

type Instance = Pick<PGlite, 'execProtocol' | 'execProtocolStream'>;
type Messages = Awaited<ReturnType<Instance['execProtocolStream']>>;

const byteOrderMark = Buffer.from('\u{feff}');
const dataRowCode = 'D'.charCodeAt(0);
const keepMarkDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Preserves a byte order mark (U+FEFF) at the beginning of a value. Uses `execProtocol`, which does the same as
 * `execProtocolStream` but also returns the raw bytes. Values with a mark are decoded again from these bytes.
 */
export function keepByteOrderMarks(pglite: Instance): void {
  pglite.execProtocolStream = async (message, options) => {
    const { messages, data } = await pglite.execProtocol(message, options);
    if (Buffer.from(data.buffer, data.byteOffset, data.byteLength).includes(byteOrderMark))
      restoreMarks(messages, data);
    return messages;
  };
}

/**
 * Decodes values with a mark again. In the protocol of PostgreSQL, a message consists of a type, a length and the
 * content. The content of a row consists of the number of values, followed by the length (-1 for null) and the bytes of
 * each value.
 */
function restoreMarks(messages: Messages, data: Uint8Array): void {
  const rows = messages.filter(({ name }) => name === 'dataRow') as unknown as { fields: (string | null)[] }[];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let row = 0;
  for (let at = 0; at + 5 <= data.length; at += 1 + view.getInt32(at + 1)) {
    if (data[at] !== dataRowCode) continue;
    const { fields } = rows[row++]!;
    let valueAt = at + 7;
    for (let n = 0; n < fields.length; n++) {
      const length = view.getInt32(valueAt);
      valueAt += 4;
      if (length < 0) continue;
      const value = data.subarray(valueAt, valueAt + length);
      if (byteOrderMark.equals(value.subarray(0, byteOrderMark.length))) fields[n] = keepMarkDecoder.decode(value);
      valueAt += length;
    }
  }
}
