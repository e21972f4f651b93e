import { z } from "zod";

/** What values of settings may be: sizes, addresses, networks, names, and what belongs together. */

/** Unit and documentation of a leaf, read back by `settings.ts`. */
export interface SettingMeta {
  readonly unit?: string;
  /** Never printed. */
  readonly secret?: boolean;
}

export const described = <S extends z.ZodType>(schema: S, description: string, meta: SettingMeta = {}): S =>
  schema.describe(description).meta({ ...meta, description });

export const seconds = (fallback: number, description: string, min = 0, max = 86_400) =>
  described(z.number().min(min).max(max).default(fallback), description, { unit: "s" });

export const megabytes = (fallback: number, description: string, min = 1) =>
  described(z.number().min(min).max(1_048_576).default(fallback), description, { unit: "MiB" });

const port = "[0-9]{1,5}";
export const listenAddress = z
  .string()
  .regex(new RegExp(`^(\\[[0-9a-fA-F:.]+\\]|[^:\\s]+):${port}$`), "must be host:port, such as 0.0.0.0:8002")
  .refine((value) => Number(value.slice(value.lastIndexOf(":") + 1)) <= 65_535, "port must be 0 to 65535");

export const pictureSize = z
  .string()
  .regex(/^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$/, "must be WIDTHxHEIGHT, such as 640x480");

/** Room for the pattern's blocks, and what ffmpeg's encoders and a small machine can do. */
export const patternSize = pictureSize.refine((value) => {
  const [width = 0, height = 0] = value.split("x").map(Number);
  const even = width % 2 === 0 && height % 2 === 0;
  return even && width >= 320 && width <= 4096 && height >= 48 && height <= 2160;
}, "must be even numbers from 320x48 to 4096x2160");

const addressOrNetwork = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);
export const network = z
  .string()
  .refine(
    (value) => addressOrNetwork.safeParse(value).success,
    "must be an address or a CIDR network, such as 192.168.1.0/24 or ::1/128",
  );

const cameraUrl = z
  .string()
  .regex(
    /^(rtsp|rtsps|http|https|file):\/\//,
    "must start with rtsp://, rtsps://, http://, https:// or file://",
  );

export const origin = z
  .string()
  .regex(
    /^(\*|https?:\/\/[^\s/?#@*]+)$/i,
    "must be a site without a path, such as https://cam.example.org, or * for every site",
  );

export const hostName = z
  .string()
  .regex(
    /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i,
    "must be a name without port, such as cam.example.org or *.example.org",
  );

/** Small enough to ask every address. */
export const searchedNetwork = z
  .string()
  .refine(
    (value) =>
      z.ipv4().safeParse(value).success ||
      (z.cidrv4().safeParse(value).success && Number(value.split("/")[1]) >= 22),
    "must be an IPv4 address or a network of at most 1024 addresses, such as 192.168.42.0/24",
  );

export const streamPath = z
  .string()
  .regex(/^\/[\x21-\x7e]{0,200}$/, "must begin with a slash, such as /live, without spaces");

export const networkCameraSchema = z.strictObject({
  url: cameraUrl,
  name: z.string().min(1).max(100).optional(),
  number: z.number().int().min(100).max(9999).optional(),
  transport: z.enum(["tcp", "udp"]).default("tcp"),
  audio: z.boolean().default(true),
});

export const webhookSchema = z.strictObject({
  url: z
    .string()
    .regex(/^https?:\/\//, "must start with http:// or https://")
    .refine(
      (value) => URL.canParse(value) && new URL(value).username === "",
      "must be a URL without a user name",
    ),
  secret: z.string().min(16, "must be at least 16 characters").max(1000),
  events: z
    .array(
      z.string().regex(/^[a-z]+\.(\*|[a-z]+)$/, "must be an event, such as recording.stopped or recording.*"),
    )
    .default([]),
});

export function refuseSharedNumbers(
  cameras: readonly { readonly number?: number | undefined }[],
  context: z.RefinementCtx,
): void {
  const seen = new Set<number>();
  for (const [index, { number }] of cameras.entries()) {
    if (number === undefined) continue;
    if (seen.has(number)) {
      const message = `${number} is given to another camera already`;
      context.addIssue({ code: "custom", path: [index, "number"], message });
    }
    seen.add(number);
  }
}

export function refuseHalfTls(
  {
    certFile,
    keyFile,
    caFile,
  }: { certFile?: string | undefined; keyFile?: string | undefined; caFile?: string | undefined },
  context: z.RefinementCtx,
): void {
  const message = "tls.certFile and tls.keyFile are needed together";
  if (certFile === undefined && (keyFile !== undefined || caFile !== undefined))
    context.addIssue({ code: "custom", path: ["certFile"], message });
  if (keyFile === undefined && certFile !== undefined)
    context.addIssue({ code: "custom", path: ["keyFile"], message });
}

export const providerUrl = z.string().refine((value) => {
  if (!URL.canParse(value)) return false;
  const { protocol, hostname, username } = new URL(value);
  const isHere = hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
  return username === "" && (protocol === "https:" || (protocol === "http:" && isHere));
}, "must be an https:// address without a user name (http:// only for this machine)");

export function refuseHalfProvider(
  {
    url,
    issuer,
    audience,
  }: { url?: string | undefined; issuer?: string | undefined; audience?: string | undefined },
  context: z.RefinementCtx,
): void {
  const given = Object.entries({ url, issuer, audience });
  if (given.every(([, value]) => value === undefined)) return;
  for (const [name, value] of given) {
    if (value !== undefined) continue;
    const message = "auth.jwks.url, auth.jwks.issuer and auth.jwks.audience are needed together";
    context.addIssue({ code: "custom", path: [name], message });
  }
}
