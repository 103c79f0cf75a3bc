import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import type { Page } from 'playwright-core';
import { browserWindow, hasChromium } from '../helpers/chromium.ts';
import { closeLater, reportViolation } from '../helpers/cleanup.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { fences, readDocument } from '../helpers/markdown.ts';
import { dataDirectory } from '../helpers/process.ts';
import { project, runProgram } from '../helpers/program.ts';
import { bundleForReact, servePages } from '../helpers/react-pages.ts';

const file = 'docs/guides/chat-in-ten-minutes.md';
const blocks = fences(readDocument(file));
const [start, create] = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text);
const html = blocks.find(({ language }) => language === 'html')!.text;
const react = blocks.find(({ language }) => language === 'tsx')!.text;

/** Runs the command of the guide until the end of the test, on a free port. */
function startService(DATA_DIR: string): Promise<string> {
  const env = { PATH: process.env.PATH, DATA_DIR, PORT: '0' };
  const child = spawn('bash', ['-c', start!], {
    cwd: project,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  closeLater(() => {
    if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL');
    return ended;
  });
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
      const url = /"url":"(http:[^"]+)"/.exec(output)?.[1];
      if (url) resolve(url);
    });
    void ended.then(() => reject(new Error(`The service ended: ${output}`)));
  });
}

describe(file, () => {
  it('has a block for each step; the test of the packages runs the installation, and this test the others', () => {
    expect(blocks.map(({ language }) => language)).to.deep.equal(['sh', 'sh', 'html', 'sh', 'tsx']);
  });

  it('leads two people to a chat in one HTML file, and to the same chat in React', async function () {
    this.timeout(120_000);
    if (!hasChromium()) this.skip();
    const DATA_DIR = await migratedDirectory();
    const url = await startService(DATA_DIR);
    const atService = (text: string) => text.replaceAll('http://127.0.0.1:7777', url);
    const creation = runProgram('bash', ['-ec', atService(create!)], { DATA_DIR });
    expect(await creation.exited, creation.errors()).to.equal(0);
    const [anas, bens] = creation.lines().map((line) => line.replace(/^\w+: /, ''));

    const page = join(dirname(dataDirectory()), 'chat.html');
    writeFileSync(page, atService(html));
    const app = await servePages(
      await bundleForReact({ contents: atService(react), loader: 'tsx', resolveDir: project }),
    );
    const open = async (address: string): Promise<Page> => {
      const tab = await (await browserWindow()).newPage();
      tab.on('pageerror', ({ stack }) => reportViolation(`${address}: ${stack}`));
      await tab.goto(address);
      return tab;
    };
    const [ana, ben] = [await open(pathToFileURL(page).href + anas), await open(app.url + bens)];
    const send = async (tab: Page, text: string) => {
      await tab.getByLabel('Message').fill(text);
      await tab.getByRole('button', { name: 'Send' }).click();
    };
    await ben.getByText('connected').waitFor();
    // The sender may receive a message after the other person has received it.
    await send(ana, 'from the file');
    for (const tab of [ana, ben]) await tab.getByText('aaaa: from the file', { exact: true }).waitFor();
    await send(ben, 'from React');
    for (const tab of [ana, ben]) await tab.getByText('bbbb: from React', { exact: true }).waitFor();
    await ana.getByLabel('Message').fill('');
    for (const tab of [ana, ben])
      expect(await tab.getByRole('listitem').allTextContents()).to.deep.equal([
        'aaaa: from the file',
        'bbbb: from React',
      ]);
  });
});
