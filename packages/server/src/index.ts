export { type OfflineKeys, openOfflineKeys } from "./auth/offline-keys.ts";
export { type DoctorOptions, type DoctorReport, runDoctor } from "./doctor/doctor.ts";
export { main } from "./main.ts";
