/**
 * Asks an ONVIF camera where its streams are (GetCapabilities, GetProfiles, GetStreamUri), without a password: the hub
 * has none for it, and would give none to a stranger. Every answer is bounded, and believed only about the same host.
 */
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import { escapeXml, findElement, findElements, parseXml, type XmlElement } from "./xml.ts";

export interface StreamAddress {
  readonly url: string;
  /** The camera's name of the profile. */
  readonly profile: string | undefined;
  readonly encoding: string | undefined;
  readonly resolution: string | undefined;
}

export interface StreamAddressOptions {
  readonly clock: Clock;
  /** Of the whole conversation. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const deviceNamespace = "http://www.onvif.org/ver10/device/wsdl";
const mediaNamespace = "http://www.onvif.org/ver10/media/wsdl";
const schemaNamespace = "http://www.onvif.org/ver10/schema";
const maxAnswerBytes = 262_144;
const maxProfiles = 8;

/**
 * @param service address of the camera's device service
 * @throws OcelliError `auth_required` when the camera wants a password; `capture_failed` for anything else that it
 *   does not answer as it should; the abort reason
 */
export async function askStreamAddresses(
  service: string,
  options: StreamAddressOptions,
): Promise<StreamAddress[]> {
  const timeout = new AbortController();
  const cancel = options.clock.after(options.timeoutMs, () =>
    timeout.abort(new OcelliError("capture_failed", "The camera does not answer in time.")),
  );
  const signal =
    options.signal === undefined ? timeout.signal : AbortSignal.any([timeout.signal, options.signal]);
  try {
    const capabilities = await ask(
      service,
      `<GetCapabilities xmlns="${deviceNamespace}"><Category>Media</Category></GetCapabilities>`,
      signal,
    );
    const told = findElement(capabilities, "Media");
    const media =
      sameHost(told === undefined ? undefined : findElement(told, "XAddr")?.text, service) ?? service;
    const profiles = await ask(media, `<GetProfiles xmlns="${mediaNamespace}"/>`, signal);
    const streams: StreamAddress[] = [];
    for (const profile of findElements(profiles, "Profiles").slice(0, maxProfiles)) {
      const { token } = profile.attributes;
      if (token === undefined || token.length > 200) continue;
      const answer = await ask(media, streamUriText(token), signal);
      const url = sameHost(findElement(answer, "Uri")?.text, service);
      if (url === undefined || streams.some((stream) => stream.url === url)) continue;
      streams.push({ url, ...factsOf(profile) });
    }
    return streams;
  } finally {
    cancel();
  }
}

function streamUriText(token: string): string {
  return [
    `<GetStreamUri xmlns="${mediaNamespace}"><StreamSetup>`,
    `<Stream xmlns="${schemaNamespace}">RTP-Unicast</Stream>`,
    `<Transport xmlns="${schemaNamespace}"><Protocol>RTSP</Protocol></Transport></StreamSetup>`,
    `<ProfileToken>${escapeXml(token)}</ProfileToken></GetStreamUri>`,
  ].join("");
}

function factsOf(profile: XmlElement): Omit<StreamAddress, "url"> {
  const encoder = findElement(profile, "VideoEncoderConfiguration");
  const encoding = encoder === undefined ? undefined : findElement(encoder, "Encoding")?.text;
  const size = encoder === undefined ? undefined : findElement(encoder, "Resolution");
  const width = size === undefined ? undefined : findElement(size, "Width")?.text;
  const height = size === undefined ? undefined : findElement(size, "Height")?.text;
  const isSize = /^\d{1,5}$/.test(width ?? "") && /^\d{1,5}$/.test(height ?? "");
  const name = profile.children.find((child) => child.name === "Name")?.text;
  return {
    profile: name?.replace(/\p{C}/gu, " ").slice(0, 100),
    encoding: encoding !== undefined && /^[\w.]{1,20}$/.test(encoding) ? encoding : undefined,
    resolution: isSize ? `${width}x${height}` : undefined,
  };
}

/** The address if it is one of a stream or service at the host of `service`. */
function sameHost(text: string | undefined, service: string): string | undefined {
  const url = text !== undefined && text.length <= 1000 ? URL.parse(text) : null;
  if (url === null || url.hostname !== new URL(service).hostname) return undefined;
  if (!/^(rtsps?|https?):$/.test(url.protocol)) return undefined;
  return url.href;
}

/** @throws OcelliError */
async function ask(url: string, body: string, signal: AbortSignal): Promise<XmlElement> {
  let response: Response;
  let bytes: Uint8Array;
  try {
    response = await fetch(url, {
      method: "POST",
      redirect: "error",
      headers: { "content-type": "application/soap+xml; charset=utf-8" },
      body: `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>${body}</s:Body></s:Envelope>`,
      signal,
    });
    bytes = await readBounded(response);
  } catch (error) {
    signal.throwIfAborted();
    throw new OcelliError("capture_failed", `The camera's service does not answer: ${messageOf(error)}.`, {
      cause: error,
    });
  }
  const envelope = parseXml(bytes);
  const fault = envelope === undefined ? undefined : findElement(envelope, "Fault");
  if (response.status === 401 || (fault !== undefined && isLogin(fault))) {
    throw new OcelliError("auth_required", "The camera tells where its streams are only with a password.");
  }
  if (!response.ok || envelope === undefined || fault !== undefined) {
    throw new OcelliError(
      "capture_failed",
      `The camera's service answers ${response.status}, not as ONVIF has it.`,
    );
  }
  return envelope;
}

function isLogin(fault: XmlElement): boolean {
  return findElements(fault, "Value").some(({ text }) => /NotAuthorized|FailedAuthentication/i.test(text));
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    // Leaving the loop cancels the rest of the body.
    if (length > maxAnswerBytes) throw new Error(`more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
