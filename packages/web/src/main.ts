/** The page: signs in, shows a card per camera and the latest files, and follows the hub's notifications. */
import { CameraCard } from "./camera-card.ts";
import { byId } from "./dom.ts";
import { FileLists } from "./file-lists.ts";
import { type CameraState, cameraIn, cameraList, storedKey, storeKey } from "./hub.ts";
import { isRecord, type Params, Rpc, RpcError } from "./rpc.ts";

const connection = byId("connection", HTMLElement);
const signIn = byId("sign-in", HTMLElement);
const signInForm = byId("sign-in-form", HTMLFormElement);
const signInError = byId("sign-in-error", HTMLElement);
const keyInput = byId("key", HTMLInputElement);
const signOut = byId("sign-out", HTMLButtonElement);
const notice = byId("notice", HTMLElement);
const grid = byId("cameras", HTMLElement);
const cards = new Map<string, CameraCard>();

const socketUrl = new URL("/ws?names=logical&failures=error", location.href);
socketUrl.protocol = socketUrl.protocol.replace("http", "ws");

const rpc = new Rpc({
  url: socketUrl.href,
  onOpen: () => {
    setConnection("waiting", "Connecting…");
    void enter();
  },
  onDown: () => setConnection("down", "The hub cannot be reached; trying again…"),
  onNotification: takeNotification,
});
const files = new FileLists(rpc);

/** Signs in where a key is stored; a hub that asks for none just shows its cameras. */
async function enter(): Promise<void> {
  const key = storedKey();
  try {
    if (key !== undefined) await rpc.call("authenticate", { auth_token: key });
    await showHub();
  } catch (error) {
    if (error instanceof RpcError && error.isAuthentication) {
      askForKey(key === undefined ? "" : "This key is not valid any more. Enter the current one.");
    } else {
      setConnection("waiting", "Something went wrong");
      showNotice(wordsOf(error));
    }
  }
}

async function showHub(): Promise<void> {
  const cameras = await cameraList(rpc);
  setConnection("up", "Connected");
  signIn.hidden = true;
  signOut.hidden = storedKey() === undefined;
  for (const [id, card] of cards) {
    if (cameras.some((camera) => camera.id === id)) continue;
    card.close();
    cards.delete(id);
  }
  cameras.forEach(showCamera);
  await files.refresh();
}

function showCamera(camera: CameraState): void {
  const card = cards.get(camera.id);
  if (card !== undefined) {
    card.update(camera);
  } else {
    const made = new CameraCard(rpc, camera, () => void files.refresh().catch(() => {}));
    cards.set(camera.id, made);
    grid.append(made.root);
  }
  showNotice("");
  showEmptiness();
}

function showEmptiness(): void {
  if (cards.size > 0 || !signIn.hidden) return;
  showNotice("No camera was found. Plug one in: it appears here by itself.");
}

function takeNotification(method: string, params: Params): void {
  if (method === "camera_status_update") {
    const camera = cameraIn(isRecord(params.camera) ? params.camera : params);
    if (camera !== undefined && signIn.hidden) showCamera(camera);
  } else if (method === "recording_status_update") {
    const id = typeof params.camera_id === "string" ? params.camera_id : String(params.device);
    cards.get(id)?.recordingChanged(params);
  }
}

function askForKey(problem: string): void {
  for (const card of cards.values()) card.close();
  cards.clear();
  files.hide();
  setConnection("waiting", "Not signed in");
  showNotice("");
  signOut.hidden = true;
  signIn.hidden = false;
  signInError.textContent = problem;
  signInError.hidden = problem === "";
  keyInput.focus();
}

signInForm.addEventListener("submit", (event) => {
  event.preventDefault();
  void tryKey(keyInput.value.trim());
});

async function tryKey(key: string): Promise<void> {
  if (key === "") return;
  signInError.hidden = true;
  try {
    await rpc.call("authenticate", { auth_token: key });
    storeKey(key);
    keyInput.value = "";
    signIn.hidden = true;
    await showHub();
    showEmptiness();
  } catch (error) {
    signIn.hidden = false;
    signInError.textContent =
      error instanceof RpcError && error.isAuthentication
        ? "The hub does not know this key. Check that it was copied whole."
        : wordsOf(error);
    signInError.hidden = false;
  }
}

signOut.addEventListener("click", () => {
  storeKey(undefined);
  askForKey("");
  // The connection still carries the identity.
  rpc.reconnect();
});

function setConnection(state: "waiting" | "up" | "down", words: string): void {
  connection.className = `connection ${state}`;
  connection.textContent = words;
}

function showNotice(words: string): void {
  notice.textContent = words;
  notice.hidden = words === "";
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
