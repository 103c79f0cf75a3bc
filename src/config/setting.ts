import type { z } from 'zod';

/** The definition of a setting: how it is parsed, documented and stored. */
export interface Setting {
  /** Converts the text of the variable to the value in `Config`. */
  schema: z.ZodType<unknown, string>;
  /**
   * The default value, in the form in which an operator would write it. Without a default, the value is `undefined`.
   */
  default?: string;
  /** Describes the default in the documentation, if the default depends on other settings. */
  defaultText?: string;
  unit?: string;
  /** The description in Markdown, for the table in docs/operations/settings.md and for `--help`. */
  description: string;
  /** Whether the value 0 disables the limit. */
  zeroIsOff?: boolean;
  /** Whether the value may be in a file whose path is in `NAME_FILE`. */
  fromFile?: boolean;
  /**
   * The path in `Config` at which the value is stored, such as `limits.sendRate`. Omitted if `readConfig` converts the
   * value.
   */
  config?: string;
  /** The name of the setting before it was renamed. */
  formerName?: string;
}
