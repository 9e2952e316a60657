// Numbers and times as a person reads them.

const whole = new Intl.NumberFormat("en");

/** 1234 -> "1,234". */
export const count = (value) => whole.format(value);

/** "1 image", "3 images". */
export const many = (value, one, several = `${one}s`) => `${count(value)} ${value === 1 ? one : several}`;

/** A fraction in percent, with as many digits as tell something: never 100 % or 0 % of what is not. */
export function percent(fraction) {
  const value = 100 * fraction;
  if (Math.abs(value - Math.round(value)) < 1e-9) return `${Math.round(value)}\u00a0%`;
  const near = Math.min(value, 100 - value);
  const digits = near >= 9.95 || near === 0 ? 0 : near >= 0.095 ? 1 : near >= 0.0095 ? 2 : 4;
  if (near > 0 && near < 0.0001) return value < 50 ? "< 0.0001\u00a0%" : "> 99.9999\u00a0%";
  return `${value.toFixed(digits)}\u00a0%`;
}

/** A score or another measured number. */
export const number = (value, digits = 3) => value.toFixed(digits).replace("-", "\u2212");

/** Bytes, e.g. "10 MB". */
export function bytes(value) {
  if (value < 1e6) return `${Math.max(1, Math.round(value / 1e3))} kB`;
  return `${value < 1e7 ? (value / 1e6).toFixed(1) : Math.round(value / 1e6)} MB`;
}

const day = new Intl.DateTimeFormat("en", { dateStyle: "medium" });

/** A day from ISO 8601. */
export const date = (text) => (Number.isNaN(Date.parse(text)) ? text : day.format(new Date(text)));

/** A duration in seconds, coarsely. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${(seconds / 3600).toFixed(1)} hours`;
}
