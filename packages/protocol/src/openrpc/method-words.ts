/**
 * What the methods are for, in words: the source of the OpenRPC document and of docs/api.md. A method without an
 * entry here, or a parameter without words, fails `npm run docs` and the test of the document.
 *
 * After a change: `npm run docs`.
 */
import { accountWords } from "./words/account-words.ts";
import { cameraWords } from "./words/camera-words.ts";
import type { Words } from "./words/contract.ts";
import { eventWords } from "./words/event-words.ts";
import { fileWords } from "./words/file-words.ts";
import { recordingWords } from "./words/recording-words.ts";
import { streamWords } from "./words/stream-words.ts";
import { syncWords } from "./words/sync-words.ts";
import { systemWords } from "./words/system-words.ts";

export const methodWords: Words = {
  ...accountWords,
  ...cameraWords,
  ...recordingWords,
  ...fileWords,
  ...syncWords,
  ...streamWords,
  ...eventWords,
  ...systemWords,
};
