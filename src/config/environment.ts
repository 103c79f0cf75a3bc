import { z } from 'zod';
import type { Setting } from './setting.ts';
import { settings } from './settings.ts';

type Settings = typeof settings;
export type SettingName = keyof Settings;

type SchemaIn<N extends SettingName> = Settings[N] extends { default: string }
  ? z.ZodPrefault<Settings[N]['schema']>
  : z.ZodOptional<Settings[N]['schema']>;

/** All settings as pairs of name and definition, with the general type `Setting`. */
export const settingRows = Object.entries(settings) as [SettingName, Setting][];

/** The schema of all environment variables that are settings. */
export const environment = z.object(
  Object.fromEntries(
    settingRows.map(([name, { schema, default: value }]) => [
      name,
      value === undefined ? schema.optional() : schema.prefault(value),
    ]),
  ) as { [N in SettingName]: SchemaIn<N> },
);

export type SettingValues = z.output<typeof environment>;

type FileSettingName = {
  [N in SettingName]: Settings[N] extends { fromFile: true } ? N : never;
}[SettingName];

export type FileSetting = `${FileSettingName}_FILE`;

/** The names of the settings whose values may be in files. */
export const fileSettings = settingRows.filter(([, { fromFile }]) => fromFile).map(([name]) => name as FileSettingName);

/** Every environment variable that can set a setting, including `NAME_FILE`. */
export const settingNames: readonly string[] = [
  ...settingRows.map(([name]) => name),
  ...fileSettings.map((name) => `${name}_FILE`),
];

type ConfigPath<N extends SettingName> = N extends SettingName
  ? Settings[N] extends { config: infer P extends string }
    ? P
    : never
  : never;

type KeyIn<G extends string, Path> = Path extends `${G}.${infer Key}` ? Key : never;

/** The type of one part of `Config`, such as `limits`, derived from the settings that are stored in it. */
export type ConfigGroup<G extends string> = {
  [N in SettingName as KeyIn<G, ConfigPath<N>>]: SettingValues[N];
};

type TopLevel = {
  [N in SettingName as ConfigPath<N> extends `${string}.${string}` ? never : ConfigPath<N>]: SettingValues[N];
};

type GroupIn<Path> = Path extends `${infer G}.${string}` ? G : never;
type GroupName = GroupIn<ConfigPath<SettingName>>;

export type ArrangedSettings = TopLevel & { [G in GroupName]: ConfigGroup<G> };

/** Stores each value at the path that its setting names in `config`. */
export function arrangeSettings(values: SettingValues): ArrangedSettings {
  const arranged: Record<string, unknown> = {};
  for (const [name, { config }] of settingRows) {
    const [first, second] = config?.split('.') ?? [];
    if (first === undefined) continue;
    if (second === undefined) arranged[first] = values[name];
    else arranged[first] = { ...(arranged[first] as object | undefined), [second]: values[name] };
  }
  return arranged as ArrangedSettings;
}
