/** The newest recordings and snapshots, with links to download them. */
import { byId, element } from "./dom.ts";
import { latestFiles, type MediaFile } from "./hub.ts";
import type { Rpc } from "./rpc.ts";
import { elapsedText, sizeText } from "./words.ts";

const shown = 8;
/** Links expire, so the lists are fetched again now and then. */
const refreshMs = 60_000;

export class FileLists {
  readonly #rpc: Rpc;
  readonly #section = byId("files", HTMLElement);
  #timer: number | undefined;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  async refresh(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.refresh().catch(() => {}), refreshMs);
    await Promise.all([this.#fill("recordings"), this.#fill("snapshots")]);
    this.#section.hidden = false;
  }

  hide(): void {
    clearTimeout(this.#timer);
    this.#section.hidden = true;
  }

  async #fill(kind: "recordings" | "snapshots"): Promise<void> {
    const files = await latestFiles(this.#rpc, kind, shown);
    const list = byId(kind, HTMLUListElement);
    const rows = files.map((file) => row(file, kind === "snapshots"));
    list.replaceChildren(...(rows.length > 0 ? rows : [element("li", "none", `No ${kind} yet`)]));
  }
}

function row(file: MediaFile, isPicture: boolean): HTMLLIElement {
  const link = element("a", "", file.filename);
  link.href = file.url;
  link.download = file.filename;
  const duration = file.durationS === undefined || isPicture ? "" : `${elapsedText(file.durationS)} · `;
  const facts = element(
    "span",
    "facts",
    element("span", "", `${duration}${sizeText(file.bytes)}`),
    element("span", "", file.modifiedAt.toLocaleString()),
  );
  const made = element("li");
  if (isPicture) {
    const thumbnail = element("img");
    thumbnail.src = file.url;
    thumbnail.alt = "";
    thumbnail.loading = "lazy";
    made.append(thumbnail);
  }
  made.append(link, facts);
  return made;
}
