/** ISO 8601, UTC, of milliseconds since the epoch. */
export const isoDate = (at: number): string => new Date(at).toISOString()
