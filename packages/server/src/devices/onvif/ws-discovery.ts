/**
 * Asks a local network for ONVIF cameras (WS-Discovery over IPv4 multicast, one hop) and collects what they answer
 * within a time. Everybody in the network can answer anything: answers are bounded in size and number, must name the
 * question, and are believed only about the address they come from.
 */
import { randomUUID } from "node:crypto";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import { findElement, findElements, parseXml } from "./xml.ts";

export interface OnvifAnswer {
  /** The camera's IPv4 address: where the answer came from. */
  readonly address: string;
  /** The camera's own lasting name, such as `urn:uuid:…`. */
  readonly endpoint: string;
  /** Addresses of its device service, all at `address`. */
  readonly services: readonly string[];
  /** What it says of itself, for people. */
  readonly name: string | undefined;
  readonly hardware: string | undefined;
  readonly location: string | undefined;
}

export interface DiscoveryOptions {
  readonly clock: Clock;
  /** How long answers are waited for. */
  readonly timeoutMs: number;
  /** Names of interfaces; all that are up and no loopback otherwise. */
  readonly interfaces?: readonly string[];
  readonly signal?: AbortSignal;
}

const group = "239.255.255.250";
const port = 3702;
const maxAnswerBytes = 32_768;
const maxAnswers = 2000;
const maxCameras = 256;
/** UDP is lossy: the question is sent again with the same id, as the standard has it. */
const againAfterMs = 250;
const maxServices = 8;

/** @throws OcelliError `capture_failed` when the question could not be sent on any interface; the abort reason */
export async function discoverOnvif(options: DiscoveryOptions): Promise<OnvifAnswer[]> {
  const { clock, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const addresses = localAddresses(options.interfaces);
  const id = randomUUID();
  const question = Buffer.from(probeText(id));
  const found = new Map<string, OnvifAnswer>();
  let answers = 0;
  const take = (message: Buffer, from: RemoteInfo): void => {
    if (++answers > maxAnswers || found.size >= maxCameras) return;
    for (const answer of readProbeMatches(message, id, from.address)) {
      const key = `${answer.address} ${answer.endpoint}`;
      if (found.size < maxCameras && !found.has(key)) found.set(key, answer);
    }
  };
  const sockets: Socket[] = [];
  const problems: string[] = [];
  try {
    for (const address of addresses) {
      try {
        sockets.push(await openSocket(address, take));
      } catch (error) {
        problems.push(`${address}: ${messageOf(error)}`);
      }
    }
    let sent = 0;
    const ask = async (): Promise<void> => {
      for (const socket of sockets) {
        try {
          await send(socket, question);
          sent++;
        } catch (error) {
          problems.push(messageOf(error));
        }
      }
    };
    await ask();
    if (sent === 0) {
      throw new OcelliError(
        "capture_failed",
        `The network could not be asked for cameras (${problems.slice(0, 3).join("; ") || "no interface has an IPv4 address"}). Check discovery.onvif.interfaces and the network.`,
      );
    }
    await clock.sleep(Math.min(againAfterMs, timeoutMs / 2), signal);
    await ask();
    await clock.sleep(Math.max(0, timeoutMs - againAfterMs), signal);
  } finally {
    for (const socket of sockets) socket.close();
  }
  return [...found.values()];
}

/** Of an interface there is not (now), none. */
function localAddresses(wanted: readonly string[] | undefined): string[] {
  const present = networkInterfaces();
  const names = wanted === undefined || wanted.length === 0 ? Object.keys(present) : wanted;
  const isChosen = names === wanted;
  return names.flatMap((name) =>
    (present[name] ?? [])
      .filter(({ family, internal }) => family === "IPv4" && (isChosen || !internal))
      .map(({ address }) => address),
  );
}

async function openSocket(
  address: string,
  take: (message: Buffer, from: RemoteInfo) => void,
): Promise<Socket> {
  const socket = createSocket({ type: "udp4" });
  const opened = Promise.withResolvers<void>();
  socket.on("error", (error) => opened.reject(error));
  socket.on("message", take);
  socket.bind(0, address, () => opened.resolve());
  try {
    await opened.promise;
    socket.setMulticastInterface(address);
    socket.setMulticastTTL(1);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

function send(socket: Socket, message: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(message, port, group, (error) => (error === null ? resolve() : reject(error)));
  });
}

function probeText(id: string): string {
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"',
    ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"',
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"',
    ' xmlns:n="http://www.onvif.org/ver10/network/wsdl">',
    `<s:Header><a:MessageID>urn:uuid:${id}</a:MessageID>`,
    "<a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>",
    "<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action></s:Header>",
    "<s:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>",
  ].join("");
}

/**
 * What an answer says of cameras at `address`. Pure.
 * @param id of the question
 * @returns nothing for an answer that is none to this question
 */
export function readProbeMatches(message: Uint8Array, id: string, address: string): OnvifAnswer[] {
  if (message.length > maxAnswerBytes) return [];
  const envelope = parseXml(message);
  if (envelope === undefined) return [];
  // Prefix and case of the id differ from maker to maker.
  if (!findElement(envelope, "RelatesTo")?.text.toLowerCase().endsWith(id)) return [];
  return findElements(envelope, "ProbeMatch").flatMap((match) => {
    const endpoint = clean(findElement(match, "Address")?.text);
    const listed = findElement(match, "XAddrs")?.text.split(/\s+/) ?? [];
    const services = [...new Set(listed)].filter((text) => isServiceAt(text, address)).slice(0, maxServices);
    if (endpoint === undefined || services.length === 0) return [];
    const scopes = findElement(match, "Scopes")?.text.split(/\s+/) ?? [];
    const scope = (kind: string): string | undefined => {
      const prefix = `onvif://www.onvif.org/${kind}/`;
      return clean(decoded(scopes.find((one) => one.startsWith(prefix))?.slice(prefix.length)));
    };
    return [
      {
        ...{ address, endpoint, services },
        ...{ name: scope("name"), hardware: scope("hardware"), location: scope("location") },
      },
    ];
  });
}

/** An answer may not make the hub ask somebody else. */
function isServiceAt(text: string, address: string): boolean {
  const url = text.length <= 500 ? URL.parse(text) : null;
  return (
    url !== null &&
    (url.protocol === "http:" || url.protocol === "https:") &&
    url.hostname === address &&
    url.username === "" &&
    url.password === ""
  );
}

function decoded(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** For people to read: no control characters, not long. */
function clean(text: string | undefined): string | undefined {
  const short = text?.replace(/\p{C}/gu, " ").trim().slice(0, 100);
  return short === "" ? undefined : short;
}
