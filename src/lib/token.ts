/** A whole token: the name of a header field, method, coding or subprotocol (RFC 9110 section 5.6.2). */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
