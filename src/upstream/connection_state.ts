// What a connection to an instance is doing.

export const CONNECTING = 0
export const IDLE = 1
/** A request was written, its response head is not complete. */
export const ASKED = 2
/** The response's body is coming in. */
export const ANSWERED = 3
/** The response is complete, the request's body is not. */
export const UPLOADING = 4
export const GONE = 5
