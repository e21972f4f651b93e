/**
 * The two vocabularies of the camera service. `path` is spoken by the older servers (cameras are `/dev/videoN`),
 * `logical` by the newer ones (cameras are `cameraN`). Words that differ between them are looked up here, nowhere else.
 */

export const namesValues = ["path", "logical"] as const;
export type Names = (typeof namesValues)[number];

const words = {
  snapshotTaken: { path: "completed", logical: "SUCCESS" },
  recordingStarted: { path: "STARTED", logical: "RECORDING" },
  recordingStopped: { path: "STOPPED", logical: "STOPPED" },
  recordingFailed: { path: "ERROR", logical: "ERROR" },
} as const satisfies Record<string, Record<Names, string>>;

export type Word = keyof typeof words;

export function wordFor(names: Names, word: Word): string {
  return words[word][names];
}

export const validationStates = ["none", "provisional", "confirmed", "disconnected", "error"] as const;
export type ValidationState = (typeof validationStates)[number];

const logicalValidation: Readonly<Record<ValidationState, string>> = {
  none: "NONE",
  provisional: "CONFIRMED",
  confirmed: "CONFIRMED",
  disconnected: "DISCONNECTED",
  error: "NONE",
};

export function validationFor(names: Names, state: ValidationState): string {
  return names === "path" ? state : logicalValidation[state];
}

/** `limit` of a list when the caller names none. */
export function defaultLimit(names: Names): number {
  return names === "path" ? 100 : 50;
}
