// Numbers and times as people read them. What is not known is said, never shown as zero.

export const UNKNOWN = "not known";

const known = (value, say) => (value === null || value === undefined ? UNKNOWN : say(value));

const digits = (value) => {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 || value === 0 ? 0 : size >= 10 ? 1 : 2);
};

export const number = (value) => known(value, digits);
export const count = (value) => known(value, (each) => Math.round(each).toString());
export const share = (value) => known(value, (each) => `${digits(100 * each)} %`);

export const seconds = (value) =>
  known(value, (each) => (Math.abs(each) < 1 ? `${digits(1000 * each)} ms` : duration(each)));

export const duration = (value) =>
  known(value, (each) => {
    const steps = [[86400 * 2, 86400, "days"], [7200, 3600, "h"], [120, 60, "min"], [0, 1, "s"]];
    const [, unit, word] = steps.find(([from]) => Math.abs(each) >= from);
    return `${unit === 1 ? digits(each) : Math.round(each / unit)} ${word}`;
  });

export const bytes = (value) =>
  known(value, (each) => {
    const words = ["B", "KiB", "MiB", "GiB", "TiB"];
    const power = Math.min(words.length - 1, Math.floor(Math.log2(Math.max(1, each)) / 10));
    return `${digits(each / 1024 ** power)} ${words[power]}`;
  });

export const moment = (value) =>
  known(value, (each) =>
    new Date(1000 * each).toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" }));

// Units that a value says by itself; another one is written beside it.
export const UNITS = { share, s: seconds, bytes };

// A value of a graph, in its unit.
export const inUnit = (value, unit) =>
  unit in UNITS ? UNITS[unit](value) : known(value, (each) => `${digits(each)} ${unit}`);

// The same where the unit stands above the graph.
export const onAxis = (value, unit) => (unit in UNITS ? UNITS[unit](value) : number(value));
