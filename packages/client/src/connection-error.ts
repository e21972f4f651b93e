/** The connection itself failed; what the hub says of a request is an `OcelliError`. */
export class ConnectionError extends Error {
  readonly code: "connect_failed" | "connection_lost" | "request_timeout";

  constructor(code: ConnectionError["code"], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ConnectionError";
    this.code = code;
  }
}
