import { DeviceStatus, type StatusResponse } from "@ocelli/protocol/multicam";
import { MultiCamError, type MultiCamErrorCode } from "./errors.ts";

const codes: Partial<Record<DeviceStatus, MultiCamErrorCode>> = {
  [DeviceStatus.FILE_NOT_FOUND]: "file_not_found",
  [DeviceStatus.TIME_NOT_SYNCHRONIZED]: "time_not_synchronized",
  [DeviceStatus.CAMERA_DISCONNECTED]: "camera_disconnected",
};

/** A device's no, in its own words. */
export function refusal(reply: StatusResponse, device: string): MultiCamError {
  const said = reply.message ?? reply.status;
  return new MultiCamError(codes[reply.status] ?? "refused", `${device} refused: ${said}`, {
    status: reply.status,
  });
}
