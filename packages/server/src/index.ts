export { type DoctorOptions, type DoctorReport, runDoctor } from "./doctor/doctor.ts";
export { main } from "./main.ts";
