/** `Content-Disposition: attachment` for a file name of any characters (RFC 6266, RFC 8187). */
export function attachment(filename: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a header value must not hold them
  const plain = filename.replace(/[\u0000-\u001f\u007f]/g, "_");
  const quoted = plain.replace(/[^\u0020-\u007e]/g, "_").replace(/["\\]/g, "\\$&");
  const header = `attachment; filename="${quoted}"`;
  // Some browsers decode percent escapes in the quoted form, so a name with a `%` gets the exact form too.
  return /^[\u0020-\u007e]*$/.test(plain) && !plain.includes("%")
    ? header
    : `${header}; filename*=UTF-8''${encodeURIComponent(plain).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}`;
}
