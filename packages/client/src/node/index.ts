export { type DownloadOptions, downloadFile } from "./download.ts";
