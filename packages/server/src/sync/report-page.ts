/** A session's report as one HTML page without anything from elsewhere: it can be mailed and kept. Pure. */
import type { MemberReport, SyncReport } from "./contract.ts";

const verdicts: Readonly<Record<SyncReport["verdict"], { readonly text: string; readonly tone: string }>> = {
  within_tolerance: { text: "In sync", tone: "good" },
  out_of_tolerance: { text: "Out of tolerance", tone: "bad" },
  not_measured: { text: "Not measured", tone: "dim" },
};

export function reportPage(report: SyncReport): string {
  const { session, members, findings } = report;
  const verdict = verdicts[report.verdict];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${asHtml(session.name)}: sync report</title>
<style>${style}</style>
<main>
<header>
<h1>${asHtml(session.name)}</h1>
<p class="verdict ${verdict.tone}">${verdict.text}</p>
</header>
<dl>
${fact("Common start (T0)", iso(session.startAtUs))}
${fact("First frames apart", report.skewMs === undefined ? "–" : `${ms(report.skewMs)} (${ms(report.toleranceMs)} allowed)`)}
${fact("Common to all", report.common === undefined ? "–" : `${seconds((report.common.toUs - report.common.fromUs) / 1e6)}`)}
${fact("Clock", clockWords(report))}
</dl>
${findings.length === 0 ? "" : `<ul class="findings">${findings.map((one) => `<li>${asHtml(one)}</li>`).join("")}</ul>`}
<h2>First frames after T0</h2>
${startPlot(members)}
<h2>Members</h2>
<div class="scroll"><table>
<thead><tr><th>Member<th>First frame<th>After T0<th>Frames<th>Missing<th>Rate<th>Jitter<th>Longest<th>Times from</tr></thead>
<tbody>${members.map(row).join("")}</tbody>
</table></div>
<h2>Time between frames</h2>
<div class="plots">${members.map(intervalPlot).join("")}</div>
<footer>Session ${asHtml(session.id)}. Every figure is read from the files; what a device only declared is called so. Made ${iso(report.madeAtUs)}.</footer>
</main>
</html>
`;
}

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
  const about = [member.name === member.key ? "" : member.name, ...fileNames(member), ...notes];
  return `<tr>${cell('th scope="row"', [member.key, ...about])}${cells.map((lines) => cell("td", lines)).join("")}</tr>`;
}

function cell(tag: string, [text = "", ...small]: readonly string[]): string {
  const lines = small.filter((one) => one !== "").map(asHtml);
  return `<${tag}>${asHtml(text)}${lines.length === 0 ? "" : `<small>${lines.join("<br>")}</small>`}`;
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

const width = 720;
const left = 130;

/** More than that many stand closer together. */
const roomyMembers = 12;

/** A dot for each member on one scale: zero is T0, the bar is one frame of that member. */
function startPlot(members: readonly MemberReport[]): string {
  const timed = members.filter((member) => member.startErrorMs !== undefined);
  if (timed.length === 0) return "<p>No member has frames whose times could be read.</p>";
  const values = timed.flatMap(({ startErrorMs = 0, frameIntervalMs = 0 }) => [
    startErrorMs,
    frameIntervalMs,
  ]);
  const low = Math.min(0, ...values);
  const high = Math.max(1, ...values) * 1.08;
  const x = (value: number): number => left + ((value - low) / (high - low)) * (width - left - 20);
  const step = timed.length > roomyMembers ? 16 : 26;
  const lines = timed.map((member, i) => {
    const y = 26 + i * step;
    const { startErrorMs = 0, frameIntervalMs = 0 } = member;
    return (
      `<text x="${left - 10}" y="${y + 4}" class="label">${asHtml(clipped(member.key))}</text>` +
      `<rect x="${x(0).toFixed(1)}" y="${y - 5}" width="${Math.max(0, x(frameIntervalMs) - x(0)).toFixed(1)}" height="10" class="frame"/>` +
      `<circle cx="${x(startErrorMs).toFixed(1)}" cy="${y}" r="5"><title>${asHtml(member.key)}: ${ms(startErrorMs)}</title></circle>`
    );
  });
  const bottom = 26 + timed.length * step;
  const ticks = axis(low, high).map(
    (value) =>
      `<line x1="${x(value).toFixed(1)}" x2="${x(value).toFixed(1)}" y1="12" y2="${bottom - 10}" class="${value === 0 ? "zero" : "grid"}"/>` +
      `<text x="${x(value).toFixed(1)}" y="${bottom + 6}" class="tick">${value} ms</text>`,
  );
  return `<svg viewBox="0 0 ${width} ${bottom + 14}" role="img" aria-label="First frame of each member after the common start">${ticks.join("")}${lines.join("")}</svg><p class="key">dot: first frame · bar: one frame interval of that member</p>`;
}

/** Times between frames over the session: between the shortest and the longest of each span, so that no hole is lost. */
function intervalPlot({ key, curve, interval, frameIntervalMs = 0 }: MemberReport): string {
  const [begin] = curve;
  const end = curve.at(-1);
  if (begin === undefined || end === undefined || interval === undefined) return "";
  const high = Math.max(frameIntervalMs * 2, interval.longestMs) * 1.05;
  const x = (atMs: number): string =>
    (((atMs - begin.fromMs) / Math.max(1, end.toMs - begin.fromMs)) * plot.width).toFixed(1);
  const y = (value: number): string => (plot.height - (value / high) * plot.height).toFixed(1);
  const upper = curve.map(
    ({ fromMs, toMs, longestMs }) => `${x(fromMs)},${y(longestMs)} ${x(toMs)},${y(longestMs)}`,
  );
  const lower = curve.map(
    ({ fromMs, toMs, shortestMs }) => `${x(toMs)},${y(shortestMs)} ${x(fromMs)},${y(shortestMs)}`,
  );
  return (
    `<figure><figcaption><b>${asHtml(key)}</b> ${ms(frameIntervalMs)}, longest ${ms(interval.longestMs)}</figcaption>` +
    `<svg viewBox="0 -2 ${plot.width} ${plot.height + 18}" role="img" aria-label="Time between frames of ${asHtml(key)}">` +
    `<line x1="0" x2="${plot.width}" y1="${plot.height}" y2="${plot.height}" class="zero"/>` +
    `<line x1="0" x2="${plot.width}" y1="${y(frameIntervalMs)}" y2="${y(frameIntervalMs)}" class="grid"/>` +
    `<polygon points="${[...upper, ...lower.reverse()].join(" ")}"/>` +
    `<text x="0" y="${plot.height + 13}" class="tick start">${seconds(begin.fromMs / 1000)}</text>` +
    `<text x="${plot.width}" y="${plot.height + 13}" class="tick end">${seconds(end.toMs / 1000)}</text></svg></figure>`
  );
}

/** In units of its drawing. */
const plot = { width: 480, height: 70 };

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
  return `${value.toFixed(Math.abs(value) < 10 ? 2 : 1)} ms`;
}

/** Frames a second. */
function rate(intervalMs: number | undefined): string {
  return intervalMs === undefined ? "–" : `${Number((1000 / intervalMs).toFixed(3))}/s`;
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}

function clipped(text: string): string {
  return text.length > 18 ? `${text.slice(0, 17)}…` : text;
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
th:first-child{text-align:left}small{display:block;font-weight:400;color:var(--dim)}th small{white-space:normal;overflow-wrap:anywhere;max-width:18rem}
svg{width:100%;height:auto;display:block}text{font:12px system-ui,sans-serif;fill:var(--ink)}
.label{text-anchor:end}.tick{fill:var(--dim);text-anchor:middle;font-size:11px}.start{text-anchor:start}.end{text-anchor:end}
.grid{stroke:var(--line)}.zero{stroke:var(--dim)}.frame{fill:var(--line)}circle{fill:var(--accent)}polygon{fill:var(--accent);stroke:var(--accent);stroke-width:1;stroke-linejoin:round}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr));gap:1rem 2rem}figure{margin:0}figcaption{font-size:.85rem;color:var(--dim)}figcaption b{color:var(--ink)}
.key,footer{color:var(--dim);font-size:.85rem}footer{margin-top:2.5rem}
`;
