import { z } from "zod";
import {
  described,
  hostName,
  listenAddress,
  megabytes,
  network,
  networkCameraSchema,
  origin,
  patternSize,
  pictureSize,
  providerUrl,
  refuseHalfProvider,
  refuseHalfTls,
  refuseSharedNumbers,
  searchedNetwork,
  seconds,
  streamPath,
  webhookSchema,
} from "./setting-kinds.ts";

/**
 * Every setting of the hub, once: type, bounds, default, unit and one line for people. The file, the
 * environment, the flags, the help text and the documentation are all derived from this schema.
 *
 * Environment names follow from the path: `recording.segmentSeconds` is `OCELLI_RECORDING_SEGMENT_SECONDS`.
 */

export const defaultListen: readonly string[] = ["0.0.0.0:8002", "0.0.0.0:8080"];

export const configSchema = z.strictObject({
  dataDir: described(z.string().min(1).default("data"), "Folder of recordings, snapshots, database and keys"),
  listen: described(
    z
      .array(listenAddress)
      .min(1)
      .default([...defaultListen]),
    "Addresses to serve on. With the default list a taken port is a warning while another one is free; a port named here is an error when taken",
  ),
  tls: z
    .strictObject({
      certFile: described(
        z.string().min(1).optional(),
        "Certificate of the hub (PEM, own first); with it every address speaks https and wss only",
      ),
      keyFile: described(
        z.string().min(1).optional(),
        "Private key of the certificate (PEM, without passphrase)",
      ),
      caFile: described(
        z.string().min(1).optional(),
        "Certificates that lead to the authority (PEM), when certFile does not hold them",
      ),
    })
    .superRefine(refuseHalfTls)
    .prefault({}),
  logLevel: described(
    z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
    "Least severe log line that is written",
  ),
  log: z
    .strictObject({
      folder: described(
        z.string().min(1).optional(),
        "Folder for log files, beside the lines on the console; none otherwise",
      ),
      fileMegabytes: megabytes(10, "A new log file is begun after this size"),
      fileDays: described(
        z.number().int().min(0).max(366).default(0),
        "A new log file is begun at midnight after this many days; 0 never",
        { unit: "d" },
      ),
      keepFiles: described(z.number().int().min(1).max(1000).default(5), "Old log files kept", {
        unit: "files",
      }),
    })
    .prefault({}),
  adminKey: described(
    z
      .string()
      .regex(/^[A-Za-z0-9_-]{32,200}$/, "must be 32 to 200 letters, digits, _ or -")
      .optional(),
    "Admin API key to use instead of one made at the first start",
    { secret: true },
  ),
  virtualCamera: described(
    z.enum(["auto", "always", "never"]).default("auto"),
    "Offer a virtual camera (a test pattern): auto does so when no other camera is found at the start",
  ),
  virtual: z
    .strictObject({
      size: described(patternSize.default("640x480"), "Picture size of a virtual camera"),
      fps: described(z.number().int().min(1).max(120).default(30), "Frame rate of a virtual camera", {
        unit: "frames/s",
      }),
      codec: described(z.enum(["h264", "mjpeg"]).default("h264"), "What a virtual camera delivers"),
      count: described(z.number().int().min(1).max(64).default(1), "How many virtual cameras"),
    })
    .prefault({}),
  cameras: described(
    z.array(networkCameraSchema).max(500).superRefine(refuseSharedNumbers).default([]),
    "Network and file cameras: a list of {url, name, number (from 100), transport: tcp|udp, audio}",
    { secret: true },
  ),
  devices: z
    .strictObject({
      v4l2: described(z.boolean().default(true), "Look for cameras on /dev/video*"),
      format: described(
        z
          .string()
          .regex(/^[A-Z0-9]{3,4}$/, "must be a FourCC, such as MJPG, H264 or YUYV")
          .optional(),
        "Format wanted of USB cameras that have it; the best one by the documented rule otherwise",
      ),
      size: described(
        pictureSize.optional(),
        "Picture size wanted of USB cameras that have it; the largest with a good rate otherwise",
      ),
      fps: described(
        z.number().positive().max(1000).optional(),
        "Frame rate wanted of USB cameras that have it; the highest up to 60 otherwise",
        { unit: "frames/s" },
      ),
      rescanSeconds: seconds(30, "Safety rescan of /dev beside its events", 1),
    })
    .prefault({}),
  discovery: z
    .strictObject({
      onvif: z
        .strictObject({
          enabled: described(
            z.boolean().default(false),
            "Let clients have the network asked for ONVIF cameras (WS-Discovery, multicast)",
          ),
          interfaces: described(
            z.array(z.string().min(1).max(64)).max(32).default([]),
            "Network interfaces to ask on; all that are up without",
          ),
          timeoutSeconds: seconds(3, "How long answers are waited for", 0.5, 30),
        })
        .prefault({}),
      skydio: z
        .strictObject({
          networks: described(
            z.array(searchedNetwork).max(4).default([]),
            "Where clients may have Skydio drones looked for, such as 192.168.42.0/24",
          ),
        })
        .prefault({}),
      generic: z
        .strictObject({
          networks: described(
            z.array(searchedNetwork).max(4).default([]),
            "Where clients may have RTSP streams looked for: every address is connected to",
          ),
          ports: described(
            z.array(z.number().int().min(1).max(65_535)).min(1).max(4).default([554, 8554]),
            "Ports to try there",
          ),
          paths: described(
            z.array(streamPath).min(1).max(16).default(["/stream", "/stream1", "/live", "/h264"]),
            "Paths to try there",
          ),
        })
        .prefault({}),
      timeoutSeconds: seconds(30, "Bound of a search through networks", 1, 300),
    })
    .prefault({}),
  capture: z
    .strictObject({
      startTimeoutSeconds: seconds(15, "How long a camera may take to give its first frame", 1, 120),
      lingerSeconds: seconds(10, "How long a capture stays warm after its last user left", 0, 3600),
      stallSeconds: seconds(5, "Without a frame for this long a capture is restarted", 0.5, 120),
      ringSeconds: seconds(
        10,
        "Frames kept in memory per camera, by age: the most a pre-roll can reach back",
        1,
        300,
      ),
      ringMegabytes: megabytes(64, "Frames kept in memory per camera, by size"),
      totalMegabytes: megabytes(512, "Frames kept in memory by all cameras together"),
    })
    .prefault({}),
  recording: z
    .strictObject({
      codec: described(
        z.enum(["copy", "h264"]).default("copy"),
        "copy records what the camera gives; h264 records the browser rendition",
      ),
      fragmentSeconds: seconds(1, "Media written at a time: the most a crash can cost", 0.2, 10),
      sync: described(
        z.enum(["fragment", "segment", "none"]).default("fragment"),
        "When data is forced to the disk: after each fragment, at the end of a file, or when the system likes",
      ),
      segmentSeconds: seconds(3600, "A new file is begun after this much media; 0 never", 0),
      segmentMegabytes: described(
        z.number().min(0).max(1_048_576).default(4096),
        "A new file is begun after this many MiB; 0 never",
        { unit: "MiB" },
      ),
      bufferMegabytes: megabytes(
        64,
        "How far a slow disk may fall behind before the recording ends with an error",
      ),
      warmUpSeconds: seconds(
        15,
        "How long before the start of a scheduled recording its camera is opened",
        0,
        600,
      ),
      cameraAbsentSeconds: seconds(
        0,
        "End a recording whose camera has been away for this long; 0 waits for ever",
        0,
      ),
    })
    .prefault({}),
  storage: z
    .strictObject({
      lowMegabytes: described(
        z.number().min(0).default(1024),
        "Below this free space no recording starts (on small disks 10 % applies if that is less)",
        { unit: "MiB" },
      ),
      criticalMegabytes: described(
        z.number().min(0).default(256),
        "Below this free space running recordings end cleanly (on small disks 4 % applies if that is less)",
        { unit: "MiB" },
      ),
      checkSeconds: seconds(2, "How often free space is measured", 0.1, 3600),
    })
    .prefault({}),
  retention: z
    .strictObject({
      checkSeconds: seconds(5, "How often the limits of the retention policies are looked at", 0.1, 3600),
    })
    .prefault({}),
  events: z
    .strictObject({
      keepDays: described(
        z.number().min(0.01).max(3650).default(30),
        "Events are kept this long for clients that ask for what they missed",
        { unit: "d" },
      ),
      keepMegabytes: megabytes(64, "Events kept, by size"),
    })
    .prefault({}),
  snapshots: z
    .strictObject({
      warmUpFrames: described(
        z.number().int().min(0).max(300).default(5),
        "Frames skipped when a USB camera is started for a snapshot, while it finds its exposure",
        { unit: "frames" },
      ),
    })
    .prefault({}),
  auth: z
    .strictObject({
      tokenHours: described(
        z.number().min(0.01).max(720).default(24),
        "How long the token of a login is good; it can be renewed for 30 days",
        { unit: "h" },
      ),
      jwks: z
        .strictObject({
          url: described(
            providerUrl.optional(),
            "Public keys (JWKS) of an identity provider whose tokens the hub takes beside its own",
          ),
          issuer: described(z.string().min(1).max(1000).optional(), "The `iss` its tokens must have"),
          audience: described(z.string().min(1).max(1000).optional(), "The `aud` its tokens must have"),
          roleClaim: described(
            z.string().min(1).max(200).default("role"),
            "Claim with the role: viewer, operator or admin, or a list with one of them",
          ),
          camerasClaim: described(
            z.string().min(1).max(200).default("cameras"),
            "Claim with the ids of the cameras the token is good for; all without it",
          ),
        })
        .superRefine(refuseHalfProvider)
        .prefault({}),
    })
    .prefault({}),
  anonymous: z
    .strictObject({
      enabled: described(z.boolean().default(false), "Let clients without a key in, for the older protocols"),
      role: described(z.enum(["viewer", "operator", "admin"]).default("operator"), "What they may do"),
      networks: described(
        z.array(network).default(["127.0.0.0/8", "::1/128"]),
        "From which networks, judged by the socket's address",
      ),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      networks: described(
        z.array(network).default([]),
        "From which networks GET /metrics may be read without a key, judged by the socket's address",
      ),
    })
    .prefault({}),
  security: z
    .strictObject({
      allowedOrigins: described(
        z.array(origin).default(["*"]),
        "Sites whose pages may talk to the hub with a credential, such as https://cam.example.org; * for every site. The hub's own page always may",
      ),
      allowedHosts: described(
        z.array(hostName).default([]),
        "Further names this hub is reached by (addresses, localhost, the machine's own and *.local names go without saying): pages and programs that ask for another one are not let in without a key",
      ),
      trustedProxies: described(
        z.array(network).default([]),
        "Reverse proxies whose X-Forwarded-For, -Proto and -Host are believed; never for clients without a key",
      ),
    })
    .prefault({}),
  rateLimit: z
    .strictObject({
      connectionPerMinute: described(
        z.number().int().min(0).max(1_000_000).default(0),
        "Calls one connection may make in a minute, all at once or spread; 0 for no limit. Admins are not limited",
        { unit: "calls" },
      ),
      addressPerMinute: described(
        z.number().int().min(0).max(1_000_000).default(0),
        "Calls and HTTP requests of one address (IPv6: one /64 network) in a minute; 0 for no limit. Admins are not limited",
        { unit: "calls" },
      ),
    })
    .prefault({}),
  connections: z
    .strictObject({
      max: described(
        z.number().int().min(1).max(200_000).default(20_000),
        "WebSocket connections at a time; 16 more are kept for admins who send their key with the upgrade. Fewer where the limit of open files is low: 512 are kept for the hub's work",
      ),
      unauthenticatedPerAddress: described(
        z.number().int().min(0).max(200_000).default(1000),
        "Connections of one address that have no rights yet; 0 for no limit",
      ),
      pingSeconds: seconds(
        20,
        "How often a connection of the camera service is asked for a sign of life",
        1,
        600,
      ),
      pongSeconds: seconds(10, "How long it may take to give one; it is cut then", 1, 600),
      requestSeconds: seconds(30, "How long an HTTP request or TLS handshake may take to arrive", 1, 600),
    })
    .prefault({}),
  clock: z
    .strictObject({
      ntpServers: described(
        z
          .array(
            z
              .string()
              .regex(
                /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?$/,
                "must be host or host:port, such as ntp.example.org",
              ),
          )
          .max(8)
          .default([]),
        "Time servers the hub asks how far its clock is off; without any, what the kernel says counts",
      ),
      intervalSeconds: seconds(300, "How often they are asked", 16, 86_400),
      trustKernel: described(
        z.boolean().default(true),
        "Whether the kernel's word counts where no time server has answered; turn it off where that says nothing, as in some virtual machines",
      ),
    })
    .prefault({}),
  multicam: z
    .strictObject({
      enabled: described(
        z.boolean().default(false),
        "Let MultiCam controllers record and fetch files. The protocol knows no keys: the networks below decide",
      ),
      networks: described(
        z.array(network).default(["127.0.0.0/8", "::1/128"]),
        "With whom MultiCam is spoken: controllers that may come, and devices of sync groups",
      ),
      camera: described(
        z.string().min(1).max(255).optional(),
        "The camera on the hub's own ports; the first one otherwise",
      ),
      devices: described(
        z
          .array(
            z.strictObject({
              camera: z.string().min(1).max(255),
              port: z.number().int().min(0).max(65_535),
            }),
          )
          .max(64)
          .default([]),
        "Further cameras, each on a port of its own: a list of {camera, port}",
      ),
      advertise: described(
        z.boolean().default(false),
        "Announce the devices by mDNS, so that controllers find them",
      ),
      deviceType: described(
        z.enum(["iOS:iPhone", "Android:Phone", "Android:Quest", "Oak"]).default("Android:Phone"),
        "As what kind of device controllers shall see the cameras",
      ),
      uploadHosts: described(
        z.array(hostName).max(100).default([]),
        "Hosts that files may be uploaded to when a controller asks for it, such as *.amazonaws.com; none without",
      ),
      s3Endpoint: described(
        z
          .string()
          .regex(
            /^https?:\/\/[^/?#@]+\/?$/,
            "must be an address without a path, such as https://minio.example.org:9000",
          )
          .optional(),
        "Where uploads with S3 credentials go: another make of S3; Amazon's otherwise",
      ),
      deleteAfterUpload: described(
        z.boolean().default(false),
        "Delete a recording once its upload has been verified",
      ),
    })
    .prefault({}),
  webhooks: described(
    z.array(webhookSchema).max(50).default([]),
    "Addresses events are posted to: a list of {url, secret, events}, with events such as recording.* (all otherwise)",
    { secret: true },
  ),
  shutdownSeconds: seconds(30, "Bound of a graceful stop", 1, 600),
});

export type Config = z.output<typeof configSchema>;
export type NetworkCameraConfig = z.output<typeof networkCameraSchema>;
