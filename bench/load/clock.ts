/** The time in µs of a clock that all processes of the machine share. */
export const nowUs = () => Number(process.hrtime.bigint() / 1_000n);
