import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startServer } from '../../src/server.ts';
import { closeAfterRun, onRunEnd } from '../../test/helpers/cleanup.ts';
import { createConfig } from '../../test/helpers/node.ts';
import { openSample, type Playground } from '../../test/helpers/playground.ts';
import { InvalidArgument, readCommandLine } from '../command-line.ts';

const usage = `npm run screenshots -- [DIRECTORY]: takes screenshots of the playground on a desktop and on a phone, light and dark, and writes
them to DIRECTORY (screenshots)

  --help`;

const directory = readCommandLine(
  usage,
  {},
  (_, [first = 'screenshots', ...more]) => {
    if (more.length > 0) throw new InvalidArgument(`Give one DIRECTORY, not also ${more.join(', ')}`);
    return first;
  },
  { allowPositionals: true },
);

const desk = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

/** Fills both panes and the console, so that the screenshots show a conversation. */
async function talk({ page, pane, messages, send, showPane }: Playground, isPhone: boolean): Promise<void> {
  if (isPhone) await showPane('Ben');
  await send('Ben', 'T minus ten minutes. All stations go.');
  await messages('Ben').locator('.own', { hasText: 'All stations go' }).getByText('sent').waitFor();
  if (isPhone) return;
  await send('Ada', 'Copy that. Opening the doors for the visitors.');
  await messages('Ben').getByText('Opening the doors').waitFor();
  const raw = page.getByRole('region', { name: 'Raw /chat' });
  const command = raw.getByRole('textbox', { name: 'Command' });
  await raw.getByRole('button', { name: 'Connect', exact: true }).click();
  for (const [name, answer] of [
    ['token', 'READY'],
    ['select_room', 'CONNECTED'],
  ] as const) {
    await raw.getByRole('button', { name, exact: true }).click();
    await command.press('Enter');
    await page.getByRole('log', { name: 'Frames' }).getByText(answer, { exact: true }).waitFor();
  }
  await raw.getByRole('button', { name: 'message', exact: true }).click();
  await pane('Ada').getByLabel('Message as Ada').focus();
}

async function main(): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const data = mkdtempSync(join(tmpdir(), 'nano-screenshots-'));
  closeAfterRun(() => rmSync(data, { recursive: true }));
  const config = createConfig({ JWT_SECRET: undefined, DATA_DIR: data });
  const server = await startServer({ ...config, database: { mode: 'embedded', directory: undefined } });
  closeAfterRun(() => server.close());
  for (const [size, options] of Object.entries({ desk, phone })) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const playground = await openSample(server.playgroundUrl!, { ...options, colorScheme });
      await talk(playground, size === 'phone');
      const path = resolve(directory, `${size}-${colorScheme}.png`);
      await playground.page.screenshot({ path });
      console.log(path);
    }
  }
}

await main().finally(onRunEnd);
