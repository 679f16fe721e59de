/** Numbers as people read them: three significant digits at most. */

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** `0.0123`, `1,230`, `3.2·10⁻⁷`, `not a number`. */
export function show(x) {
  if (Number.isNaN(x)) return "not a number";
  if (!Number.isFinite(x)) return x > 0 ? "infinite" : "−infinite";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 0.001 && size < 9995) return minus(String(Number(x.toPrecision(3))).replace(/^(-?\d)(\d{3})$/, "$1,$2"));
  const [digits, power] = x.toExponential(2).split("e");
  return minus(`${Number(digits)}·10${raised(Number(power))}`);
}

/** A power of ten as the axis writes it: `10⁻³`. */
export function power(exponent) {
  return exponent === 0 ? "1" : exponent === 1 ? "10" : `10${raised(exponent)}`;
}

export const percent = (share) => `${Number((100 * share).toPrecision(3))}\u00a0%`;
export const whole = (count) => String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");

const minus = (text) => text.replace("-", "−");
const raised = (exponent) => (exponent < 0 ? "⁻" : "") + [...String(Math.abs(exponent))].map((d) => RAISED[d]).join("");
