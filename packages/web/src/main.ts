/** The page: signs in, shows a card per camera and the latest files, and follows the hub's notifications. */
import { CameraCard } from "./camera-card.ts";
import { Credential, storedCredential } from "./credential.ts";
import { byId } from "./dom.ts";
import { FileLists } from "./file-lists.ts";
import { type CameraState, cameraIn, cameraList } from "./hub.ts";
import { isRecord, type Params, Rpc, RpcError } from "./rpc.ts";
import { SignIn } from "./sign-in.ts";
import { wordsOf } from "./words.ts";

const connection = byId("connection", HTMLElement);
const signOut = byId("sign-out", HTMLButtonElement);
const notice = byId("notice", HTMLElement);
const grid = byId("cameras", HTMLElement);
const cards = new Map<string, CameraCard>();
const ended = "You are not signed in any more. Sign in again.";

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
const credential = new Credential(rpc, () => ask(ended));
const signIn = new SignIn(credential, showHub);

/** Signs in as whom the browser knows; a hub that asks nobody just shows its cameras. */
async function enter(): Promise<void> {
  const wasKnown = storedCredential() !== undefined;
  try {
    await credential.resume();
    await showHub();
  } catch (error) {
    if (error instanceof RpcError && error.isAuthentication) {
      ask(wasKnown ? ended : "");
    } else {
      setConnection("waiting", "Something went wrong");
      showNotice(wordsOf(error));
    }
  }
}

async function showHub(): Promise<void> {
  const cameras = await cameraList(rpc);
  setConnection("up", "Connected");
  signIn.hide();
  signOut.hidden = storedCredential() === undefined;
  for (const [id, card] of cards) {
    if (cameras.some((camera) => camera.id === id)) continue;
    card.close();
    cards.delete(id);
  }
  cameras.forEach(showCamera);
  showEmptiness();
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
  if (cards.size > 0 || signIn.isShown) return;
  showNotice("No camera was found. Plug one in: it appears here by itself.");
}

function takeNotification(method: string, params: Params): void {
  if (method === "camera_status_update") {
    const camera = cameraIn(isRecord(params.camera) ? params.camera : params);
    if (camera !== undefined && !signIn.isShown) showCamera(camera);
  } else if (method === "recording_status_update") {
    const id = typeof params.camera_id === "string" ? params.camera_id : String(params.device);
    cards.get(id)?.recordingChanged(params);
  }
}

function ask(problem: string): void {
  for (const card of cards.values()) card.close();
  cards.clear();
  files.hide();
  setConnection("waiting", "Not signed in");
  showNotice("");
  signOut.hidden = true;
  signIn.show(problem);
}

signOut.addEventListener("click", leave);

function leave(): void {
  credential.forget();
  ask("");
  // The connection still carries the identity.
  rpc.reconnect();
}

function setConnection(state: "waiting" | "up" | "down", words: string): void {
  connection.className = `connection ${state}`;
  connection.textContent = words;
}

function showNotice(words: string): void {
  notice.textContent = words;
  notice.hidden = words === "";
}
