/** An exact fraction, as V4L2 and ffmpeg give frame intervals (1/30 s). */
export interface Rational {
  readonly numerator: number;
  readonly denominator: number;
}
