/** The SQL of a time in ms since 1970, as a number of JavaScript. */
export const ms = (column: string) => `(extract(epoch from ${column}) * 1000)::float8`;
