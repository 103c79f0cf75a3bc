/** A received value that was checked against its schema. The test knows which shape it expects. */
// biome-ignore lint/suspicious/noExplicitAny: expectations check the values, types would only repeat the schemas
export type Json = any;
