/**
 * Answers as JSON. A result that is given to many callers (`sharedResult`) is made into text once; all others are
 * written anew each time.
 */

/** Text of results given to many, made when the first of them goes out. */
const texts = new WeakMap<object, { text: string | undefined }>();

/** Says that `result` goes to several callers and is never changed again. */
export function sharedResult<T extends object>(result: T): T {
  texts.set(result, { text: undefined });
  return result;
}

/** The same text as `JSON.stringify(response)`. */
export function answerText(response: object): string {
  const result = "result" in response ? response.result : undefined;
  const shared = typeof result === "object" && result !== null ? texts.get(result) : undefined;
  if (shared === undefined) return JSON.stringify(response);
  shared.text ??= JSON.stringify(result);
  const members = Object.entries(response).map(([name, value]) => {
    const text = value === result ? shared.text : JSON.stringify(value);
    return text === undefined ? undefined : `${JSON.stringify(name)}:${text}`;
  });
  return `{${members.filter((member) => member !== undefined).join(",")}}`;
}
