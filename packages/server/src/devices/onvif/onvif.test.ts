import { describe, expect, it } from "vitest";
import { readProbeMatches } from "./ws-discovery.ts";
import { escapeXml, findElement, parseXml } from "./xml.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("XML of strangers", () => {
  it("becomes a tree, whatever its prefixes", () => {
    const tree = parseXml(bytes('<a:x xmlns:a="urn:1"><a:y k="v"> one <![CDATA[& two]]></a:y></a:x>'));
    expect(tree).toMatchObject({ name: "x" });
    expect(tree && findElement(tree, "y")).toMatchObject({ text: "one & two", attributes: { k: "v" } });
  });

  it.each([
    ["entities that grow", `<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><x>&b;</x>`],
    ["an entity of a file", `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>`],
    ["a document type alone", "<!DOCTYPE x><x/>"],
    ["an unknown entity", "<x>&a;</x>"],
    ["an open end", "<x><y></x>"],
    ["no XML", "hello"],
    ["nothing", ""],
    ["an unknown prefix", "<a:x/>"],
    ["great depth", "<a>".repeat(50) + "</a>".repeat(50)],
    ["many elements", `<a>${"<b/>".repeat(5001)}</a>`],
    ["many bytes", `<a>${" ".repeat(262_144)}</a>`],
    ["two roots of which one is open", "<a/><b>"],
  ])("with %s is refused", (_what, text) => {
    expect(parseXml(bytes(text))).toBeUndefined();
  });

  it("that is no UTF-8 is refused", () => {
    expect(parseXml(new Uint8Array([0x3c, 0x61, 0xff, 0x2f, 0x3e]))).toBeUndefined();
  });

  it("of our own has no signs of strangers in it", () => {
    const token = `"><evil a='&`;
    expect(parseXml(bytes(`<x k="${escapeXml(token)}">${escapeXml(token)}</x>`))).toMatchObject({
      ...{ text: token, attributes: { k: token }, children: [] },
    });
  });
});

describe("an answer of the network", () => {
  const id = "01234567-89ab-cdef-0123-456789abcdef";
  const answer = (relates: string, body: string) =>
    bytes(
      `<s:Envelope xmlns:s="urn:s" xmlns:d="urn:d"><s:Header><d:RelatesTo>${relates}</d:RelatesTo></s:Header><s:Body>${body}</s:Body></s:Envelope>`,
    );
  const match = (xaddrs: string, scopes = "") =>
    `<d:ProbeMatch><d:EndpointReference><d:Address>urn:uuid:1</d:Address></d:EndpointReference><d:Scopes>${scopes}</d:Scopes><d:XAddrs>${xaddrs}</d:XAddrs></d:ProbeMatch>`;

  it("is read with names for people, cleaned", () => {
    const scopes = "onvif://www.onvif.org/name/A%20B%00%1b onvif://www.onvif.org/hardware/%E0%A4%A x";
    expect(
      readProbeMatches(answer(`urn:uuid:${id}`, match("http://10.0.0.2/s", scopes)), id, "10.0.0.2"),
    ).toEqual([
      {
        ...{ address: "10.0.0.2", endpoint: "urn:uuid:1", services: ["http://10.0.0.2/s"] },
        ...{ name: "A B", hardware: "%E0%A4%A", location: undefined },
      },
    ]);
  });

  it("counts when it names the question in another spelling", () => {
    const spelled = answer(`uuid:${id.toUpperCase()}`, match("https://10.0.0.2:8443/s"));
    expect(readProbeMatches(spelled, id, "10.0.0.2")).toHaveLength(1);
  });

  it.each([
    ["to another question", answer("urn:uuid:0", match("http://10.0.0.2/s"))],
    ["about another host", answer(id, match("http://10.0.0.3/s http://localhost/s http://[::1]/s"))],
    ["with another scheme", answer(id, match("ftp://10.0.0.2/ file:///etc/passwd javascript:1"))],
    ["with a password", answer(id, match("http://u:p@10.0.0.2/s"))],
    ["without a match", answer(id, "<d:ProbeMatches/>")],
    ["without an address", answer(id, "<d:ProbeMatch/>")],
    ["that is too long", answer(id, match("http://10.0.0.2/s", "x".repeat(40_000)))],
  ])("%s is none", (_what, message) => {
    expect(readProbeMatches(message, id, "10.0.0.2")).toEqual([]);
  });
});
