/** What can be turned at a device, such as exposure and focus: one shape for whatever the driver calls it. */

export const controlTypes = ["int", "bool", "menu", "button"] as const;
export type ControlType = (typeof controlTypes)[number];

export interface DeviceControl {
  /** As v4l2-ctl writes it: `exposure_time_absolute`. */
  readonly name: string;
  /** As the driver writes it. */
  readonly title: string;
  /** The driver's heading it stands under, such as `Camera Controls`. */
  readonly group: string | undefined;
  readonly type: ControlType;
  /** `undefined` for buttons and what cannot be read. A boolean is 0 or 1. */
  readonly value: number | undefined;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly defaultValue: number;
  /** The entries of a menu. */
  readonly menu: readonly { readonly value: number; readonly name: string }[];
  readonly readOnly: boolean;
  /** Has no effect now, such as a manual value while the automatic is on. */
  readonly inactive: boolean;
  /** The device changes it by itself. */
  readonly volatile: boolean;
}

export interface DeviceControls {
  /** @throws OcelliError `capture_failed`, `camera_busy`, `camera_disconnected` */
  list(): Promise<readonly DeviceControl[]>;
  /**
   * Sets one control: a number, `true` or `false`, or the name of a menu entry; nothing for a button.
   * @returns the control as the driver has it now; it may have changed the value
   * @throws OcelliError `invalid_params` for an unknown control or a value out of its range, `unsupported` for one that
   *   can only be read, and as `list`
   */
  set(name: string, value: number | boolean | string | undefined): Promise<DeviceControl>;
}
