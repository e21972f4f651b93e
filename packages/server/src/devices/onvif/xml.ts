/**
 * XML that strangers send, as a small tree. Bounded in bytes, depth and elements; anything with a document type (where
 * entities are defined) is refused, as is what is not well formed. Names are without their prefix.
 */
import sax from "sax";

export interface XmlElement {
  /** Without prefix. */
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  /** Text directly inside, trimmed. */
  readonly text: string;
}

const maxBytes = 262_144;
const maxDepth = 40;
const maxElements = 5000;

interface Open {
  readonly name: string;
  readonly attributes: Record<string, string>;
  readonly children: XmlElement[];
  text: string;
}

/** `undefined` for what is refused. Never throws. */
export function parseXml(bytes: Uint8Array): XmlElement | undefined {
  if (bytes.length > maxBytes) return undefined;
  let root: XmlElement | undefined;
  let elements = 0;
  const open: Open[] = [];
  // Thrown out of the parser: it would go on after an error otherwise.
  const refuse = (why: string): never => {
    throw new Error(why);
  };
  try {
    const parser = sax.parser(true, { xmlns: true, position: false });
    parser.onerror = (error) => refuse(error.message);
    parser.ondoctype = () => refuse("document type");
    parser.onopentag = (tag) => {
      if (open.length === 0 && root !== undefined) return refuse("more than one root");
      if (++elements > maxElements || open.length >= maxDepth || !("local" in tag))
        return refuse("too large");
      const attributes: Record<string, string> = {};
      for (const { local, value } of Object.values(tag.attributes)) attributes[local] = value;
      open.push({ name: tag.local, attributes, children: [], text: "" });
    };
    const onText = (text: string): void => {
      const top = open.at(-1);
      if (top !== undefined) top.text += text;
    };
    parser.ontext = onText;
    parser.oncdata = onText;
    parser.onclosetag = () => {
      const closed = open.pop();
      if (closed === undefined) return;
      const element: XmlElement = { ...closed, text: closed.text.trim() };
      const parent = open.at(-1);
      if (parent === undefined) root ??= element;
      else parent.children.push(element);
    };
    parser.write(new TextDecoder("utf-8", { fatal: true }).decode(bytes)).close();
  } catch {
    return undefined;
  }
  return root;
}

/** The first element of that name below `from`, at any depth, in document order. */
export function findElement(from: XmlElement, name: string): XmlElement | undefined {
  for (const child of from.children) {
    const found = child.name === name ? child : findElement(child, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** All elements of that name below `from`. */
export function findElements(from: XmlElement, name: string): XmlElement[] {
  return from.children.flatMap((child) => [
    ...(child.name === name ? [child] : []),
    ...findElements(child, name),
  ]);
}

/** As text of an element or value of an attribute. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.codePointAt(0)};`);
}
