/** A duration in milliseconds as config writes it: "250ms", "30s", "5m". */
export function durationText(ms: number): string {
  if (ms !== 0 && ms % 60_000 === 0) return `${ms / 60_000}m`
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

/** A size in bytes as config writes it: "64KB", "10MB", "100B". */
export function sizeText(bytes: number): string {
  if (bytes !== 0 && bytes % 1024 ** 2 === 0) return `${bytes / 1024 ** 2}MB`
  return bytes !== 0 && bytes % 1024 === 0 ? `${bytes / 1024}KB` : `${bytes}B`
}
