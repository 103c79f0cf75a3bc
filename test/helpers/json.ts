/** What came over the wire and was checked against its schema; a test knows which of the shapes it expects. */
// biome-ignore lint/suspicious/noExplicitAny: expectations check the values, types would only repeat the schemas
export type Json = any;
