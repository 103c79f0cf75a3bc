import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect } from 'chai';

const project = resolve(import.meta.dirname, '../../..');
const { scripts } = JSON.parse(readFileSync(resolve(project, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

/** Each script of package.json that runs a tool, with an option that its usage has to list. */
const tools: [script: string, option: string][] = [
  ['bench', '--rounds N'],
  ['build', '--help'],
  ['docs:settings', '--help'],
  ['fuzz', '--seed N'],
  ['new:feature', 'NAME'],
  ['outage', '--how kill'],
  ['packages', '--output DIRECTORY'],
  ['screenshots', 'DIRECTORY'],
  ['test:image', '--help'],
  ['torture', '--seed N'],
];

/** An option with a value that the tool has to reject before it starts anything. */
const invalid: [script: string, option: string, value: string][] = [
  ['bench', '--only', 'nothing'],
  ['bench', '--rounds', '0'],
  ['fuzz', '--frames', 'many'],
  ['outage', '--how', 'gently'],
  ['outage', '--seconds', ''],
  ['torture', '--only', 'nothing'],
  ['torture', '--clients', '1.5'],
];

function run(script: string, ...args: string[]) {
  const [command, ...words] = scripts[script]!.split(' ');
  expect(command).to.equal('node');
  return spawnSync(process.execPath, [...words, ...args], { cwd: project, encoding: 'utf8', timeout: 60_000 });
}

describe('the command lines of the tools', function () {
  this.timeout(60_000);

  it('cover each script that runs a file of tools/ or bench/', () => {
    const found = Object.keys(scripts).filter((name) => /^node (tools|bench)\//.test(scripts[name]!));
    expect(tools.map(([script]) => script)).to.have.members(found);
  });

  for (const [script, option] of tools) {
    it(`npm run ${script} -- --help prints a usage with ${option} and exits with 0`, () => {
      const { status, stdout, stderr } = run(script, '--help');
      expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' });
      expect(stdout)
        .to.match(new RegExp(`^npm run ${script}\\b`))
        .and.to.include(option);
      expect(stdout.split('\n').length).to.be.below(25);
    });

    it(`npm run ${script} exits with 2 and names an unknown option`, () => {
      const { status, stdout, stderr } = run(script, '--no-such-option');
      expect({ status, stdout }).to.deep.equal({ status: 2, stdout: '' });
      expect(stderr).to.include('--no-such-option').and.to.include(`npm run ${script}`);
    });
  }

  for (const [script, option, value] of invalid) {
    it(`npm run ${script} exits with 2 and names the option for ${option} '${value}'`, () => {
      const { status, stdout, stderr } = run(script, option, value);
      expect({ status, stdout }).to.deep.equal({ status: 2, stdout: '' });
      expect(stderr.split('\n')[0]).to.include(option);
    });
  }
});
