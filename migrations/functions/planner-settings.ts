const switchOff = (...settings: string[]) => settings.map((setting) => `set ${setting} = off`).join(' ');

/**
 * Makes a function always use the indexes. Each connection caches its plans. A plan that was made for a small table would
 * read the whole table until the next ANALYZE, which made a new service eight times slower within a minute.
 */
export const useIndexes = switchOff('enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit');

/** The same without bitmap scans, which find all rows of a range before the function uses the first of them. */
export const useIndexesInOrder = switchOff(
  ...['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'],
);
