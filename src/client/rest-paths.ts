/** Programs in this repository use REST without types. The package has the types of the OpenAPI document in place of this file. */
// biome-ignore lint/suspicious/noExplicitAny: the parameters and answers of each operation.
export type Paths = Record<`/rooms${string}`, Record<'get' | 'put' | 'post' | 'patch' | 'delete', any>>;
