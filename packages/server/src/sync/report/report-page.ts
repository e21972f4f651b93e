/** A session's report as one HTML page without anything from elsewhere: it can be mailed and kept. Pure. */
import type { MemberReport, SyncReport } from "../contract.ts";

const verdicts: Readonly<Record<SyncReport["verdict"], { readonly text: string; readonly tone: string }>> = {
  within_tolerance: { text: "In sync", tone: "good" },
  out_of_tolerance: { text: "Out of tolerance", tone: "bad" },
  not_measured: { text: "Not measured", tone: "dim" },
};

export function reportPage(report: SyncReport): string {
  const { session, members, findings } = report;
  const hasFailed = session.members.some(({ state }) => state === "failed");
  const { text, tone } = verdicts[report.verdict];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${asHtml(session.name)}: sync report</title>
<style>${style}</style>
<main>
<header>
<h1>${asHtml(session.name)}</h1>
<p class="verdict ${tone}">${tone === "bad" && hasFailed ? "A member failed" : text}</p>
</header>
<dl>
${fact("Common start (T0), UTC", iso(session.startAtUs).replace(" UTC", ""))}
${fact("First frames apart", report.skewMs === undefined ? "–" : `${ms(report.skewMs)} (${ms(report.toleranceMs)} allowed)`)}
${fact("Common to all", report.common === undefined ? "–" : `${seconds((report.common.toUs - report.common.fromUs) / 1e6)}`)}
${fact("Clock", clockWords(report))}
</dl>
${findingList(findings)}
<h2>First frames after T0</h2>
${startPlot(members)}
<h2>Members</h2>
<div class="scroll"><table>
<thead><tr><th>Member<th>First frame<th>After T0<th>Frames<th>Missing<th>Rate<th>Jitter<th>Longest<th>Times from</tr></thead>
<tbody>${members.map(row).join("")}</tbody>
</table></div>
<h2>Time between frames</h2>
<div class="plots${members.length > roomyMembers ? " dense" : ""}">${members.map(intervalPlot).join("")}</div>
<footer>Session ${asHtml(session.id)}. Every figure is read from the files; what a device only declared is called so. Made ${iso(report.madeAtUs)}.</footer>
</main>
</html>
`;
}

/** The first ones, which are the worst, and the others when asked for. */
function findingList(findings: readonly string[]): string {
  const list = (some: readonly string[]): string =>
    some.length === 0
      ? ""
      : `<ul class="findings">${some.map((one) => `<li>${asHtml(one)}</li>`).join("")}</ul>`;
  const rest = findings.slice(openFindings);
  const more =
    rest.length === 0 ? "" : `<details><summary>${rest.length} more</summary>${list(rest)}</details>`;
  return list(findings.slice(0, openFindings)) + more;
}

const openFindings = 8;

function row(member: MemberReport): string {
  const { interval, notes } = member;
  const cells = [
    [member.firstFrameAtUs === undefined ? "–" : iso(member.firstFrameAtUs).slice(11, 26)],
    [member.startErrorMs === undefined ? "–" : ms(member.startErrorMs)],
    [
      member.framesReceived === undefined
        ? "–"
        : `${member.framesReceived} of ${member.framesExpected ?? "?"}`,
    ],
    [member.framesDropped === undefined ? "–" : String(member.framesDropped)],
    [
      rate(interval === undefined ? undefined : member.frameIntervalMs),
      `set to ${rate(member.nominalIntervalMs)}`,
    ],
    [interval === undefined ? "–" : ms(interval.deviationMs)],
    interval === undefined ? ["–"] : [ms(interval.longestMs), `99 %: ${ms(interval.percentile99Ms)}`],
    [sources[member.timeSource]],
  ];
  const about = [
    member.name === member.key ? "" : member.name,
    ...fileNames(member),
    declaredWords(member),
    ...notes,
  ];
  return `<tr>${cell('th scope="row"', [member.key, ...about])}${cells.map((lines) => cell("td", lines)).join("")}</tr>`;
}

function cell(tag: string, [text = "", ...small]: readonly string[]): string {
  const lines = small.filter((one) => one !== "").map(asHtml);
  return `<${tag}>${asHtml(text)}${lines.length === 0 ? "" : `<small>${lines.join("<br>")}</small>`}`;
}

function declaredWords({ declared }: MemberReport): string {
  const { deviceId, fileName, fileSize } = declared ?? {};
  const file = fileName === undefined ? undefined : `file ${fileName}`;
  const size = fileSize === undefined ? undefined : `${fileSize} bytes`;
  const said = [deviceId, file, size].filter((one) => one !== undefined);
  return said.length === 0 ? "" : `it declared: ${said.join(", ")}`;
}

/** A recording of hours in segments has hundreds. */
function fileNames({ files }: MemberReport): string[] {
  return files.length <= namedFiles
    ? [...files]
    : [...files.slice(0, namedFiles - 1), `and ${files.length - namedFiles + 1} more, to ${files.at(-1)}`];
}

const sources: Readonly<Record<MemberReport["timeSource"], string>> = {
  kernel: "the kernel",
  arrival: "arrival",
  file: "the device's file",
  declared: "declared",
  unknown: "–",
};

const namedFiles = 3;
/** More than that many plots are drawn smaller. */
const roomyMembers = 4;

/** A dot for each member on one scale: zero is T0, the bar is one frame of that member. */
function startPlot(members: readonly MemberReport[]): string {
  const timed = members.filter((member) => member.startErrorMs !== undefined);
  if (timed.length === 0) return "<p>No member has frames whose times could be read.</p>";
  const values = timed.flatMap(({ startErrorMs = 0, frameIntervalMs = 0 }) => [
    startErrorMs,
    frameIntervalMs,
  ]);
  const low = Math.min(0, ...values);
  const high = Math.max(1, ...values) * 1.04;
  const left = (value: number): string => `left:${percent((value - low) / (high - low))}`;
  const rows = timed.map(({ key, startErrorMs = 0, frameIntervalMs = 0 }, i) => {
    const row = `grid-row:${i + 1}`;
    const bar = `${left(0)};width:${percent(frameIntervalMs / (high - low))}`;
    return (
      `<b style="${row}">${asHtml(key)}</b><div style="${row}" title="${asHtml(key)}: ${ms(startErrorMs)}">` +
      `<i class="bar" style="${bar}"></i><i class="dot" style="${left(startErrorMs)}"></i></div>`
    );
  });
  const ticks = axis(low, high).map(
    (value) => `<i${value === 0 ? ' class="zero"' : ""} style="${left(value)}"><s>${value} ms</s></i>`,
  );
  return (
    `<div class="starts" role="img" aria-label="First frame of each member after the common start">` +
    `<div class="ticks" style="grid-row:1/span ${timed.length}">${ticks.join("")}</div>${rows.join("")}</div>` +
    `<p class="key">dot: first frame · bar: one frame interval of that member</p>`
  );
}

/** Times between frames over the session: from the shortest to the longest of each span, so that no hole is lost. */
function intervalPlot({ key, curve, interval, frameIntervalMs = 0 }: MemberReport): string {
  const [begin] = curve;
  const end = curve.at(-1);
  if (begin === undefined || end === undefined || interval === undefined) return "";
  const high = Math.max(frameIntervalMs * 2, interval.longestMs) * 1.05;
  const across = Math.max(1, end.toMs - begin.fromMs);
  const point = (atMs: number, value: number): string =>
    `${Math.round(((atMs - begin.fromMs) / across) * plot.width)},${Math.round((1 - value / high) * plot.height)}`;
  const upper = curve.flatMap((span) => [
    point(span.fromMs, span.longestMs),
    point(span.toMs, span.longestMs),
  ]);
  const lower = curve.flatMap((span) => [
    point(span.fromMs, span.shortestMs),
    point(span.toMs, span.shortestMs),
  ]);
  const level = point(begin.fromMs, frameIntervalMs).split(",")[1] ?? "";
  return (
    `<figure><figcaption><b>${asHtml(key)}</b> longest ${ms(interval.longestMs)}</figcaption>` +
    `<svg viewBox="0 0 ${plot.width} ${plot.height}" preserveAspectRatio="none" role="img" aria-label="Time between frames of ${asHtml(key)}">` +
    `<path d="M0,${level}H${plot.width}" class="level"/><polygon points="${[...upper, ...lower.reverse()].join(" ")}"/></svg>` +
    `<div class="ends"><span>${seconds(begin.fromMs / 1000)}</span><span>${seconds(end.toMs / 1000)}</span></div></figure>`
  );
}

/** In units of its drawing, which takes the room there is. */
const plot = { width: 1000, height: 100 };

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}

function axis(low: number, high: number): number[] {
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10) * power;
  const ticks: number[] = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
    ticks.push(Number(value.toPrecision(6)));
  }
  return ticks;
}

function clockWords({ session: { clock } }: SyncReport): string {
  if (!clock.synchronised) return "not synchronised";
  const within = clock.uncertaintyUs === undefined ? "" : `, within ${ms(clock.uncertaintyUs / 1000)}`;
  return `synchronised by ${clock.source}${within}`;
}

function fact(name: string, value: string): string {
  return `<div><dt>${name}</dt><dd>${asHtml(value)}</dd></div>`;
}

function iso(us: number): string {
  const fraction = String(Math.floor(us % 1e6)).padStart(6, "0");
  return `${new Date(Math.floor(us / 1e6) * 1000).toISOString().slice(0, 19).replace("T", " ")}.${fraction} UTC`;
}

function ms(value: number): string {
  if (Math.abs(value) >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(Math.abs(value) < 10 ? 2 : 1)} ms`;
}

/** Frames a second. */
function rate(intervalMs: number | undefined): string {
  return intervalMs === undefined ? "–" : `${Number((1000 / intervalMs).toFixed(3))}/s`;
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}

function asHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

const style = `
:root{color-scheme:light dark;--ink:#16202a;--dim:#5b6875;--line:#d6dde4;--paper:#fff;--card:#f4f6f8;--accent:#0b7285;--good:#1a7f37;--bad:#c92a2a}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#96a3b0;--line:#30373f;--paper:#0f1418;--card:#171d23;--accent:#3bc9db;--good:#57d17a;--bad:#ff8787}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:2rem 1rem}
header{display:flex;gap:1rem;align-items:center;flex-wrap:wrap}
h1{margin:0;font-size:1.6rem}h2{font-size:1.05rem;margin:2rem 0 .5rem}
.verdict{margin:0;padding:.15rem .7rem;border-radius:1rem;border:1px solid currentColor;font-weight:600}
.good{color:var(--good)}.bad{color:var(--bad)}.dim{color:var(--dim)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.8rem;margin:1.2rem 0}
dl div{background:var(--card);border-radius:.5rem;padding:.6rem .8rem}dt{color:var(--dim);font-size:.85rem}dd{margin:0;font-variant-numeric:tabular-nums}
.findings{margin:0;padding-left:1.2rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.45rem .45rem;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
thead th{color:var(--dim);font-weight:500;font-size:.85rem}
th:first-child{text-align:left}small{display:block;font-weight:400;color:var(--dim)}th small{white-space:normal;overflow-wrap:anywhere;width:18rem}
.starts{display:grid;grid-template-columns:minmax(0,max-content) 1fr;column-gap:.8rem;font-size:.85rem;line-height:1.15rem;padding:0 2rem 1.5rem 0}
.starts b{grid-column:1;font-weight:400;text-align:right;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;max-width:14rem}.starts div{grid-column:2;position:relative}.starts i{position:absolute}
.bar{top:.35rem;height:.5rem;background:var(--line)}.dot{top:.3rem;width:.6rem;height:.6rem;margin-left:-.3rem;border-radius:50%;background:var(--accent)}
.ticks i{top:0;bottom:-.3rem;border-left:1px solid var(--line)}.ticks .zero{border-color:var(--dim)}.ticks s{position:absolute;top:100%;transform:translateX(-50%);white-space:nowrap;text-decoration:none;font-style:normal;color:var(--dim)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr));gap:1rem 2rem}.dense{grid-template-columns:repeat(auto-fill,minmax(min(14rem,100%),1fr));gap:.8rem 1.5rem}
figure{margin:0;font-size:.85rem;color:var(--dim)}figcaption b{color:var(--ink)}svg{display:block;width:100%;height:5rem;border-bottom:1px solid var(--dim);overflow:visible}.dense svg{height:3rem}.ends{display:flex;justify-content:space-between;font-size:.75rem}
polygon{fill:var(--accent);stroke:var(--accent);stroke-linejoin:round}.level{stroke:var(--line)}polygon,.level{vector-effect:non-scaling-stroke}
details{padding-left:1.2rem}summary{color:var(--dim);cursor:pointer}
.key,footer{color:var(--dim);font-size:.85rem}footer{margin-top:2.5rem}
`;
