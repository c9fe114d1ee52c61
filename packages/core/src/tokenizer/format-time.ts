/** C's `strftime` in the C locale and local time, for the directives that chat templates use. */

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const twoDigits = (value: number) => String(value).padStart(2, "0");

const directives: Readonly<Record<string, (time: Date) => string>> = {
  "%": () => "%",
  A: (time) => days[time.getDay()]!,
  a: (time) => days[time.getDay()]!.slice(0, 3),
  B: (time) => months[time.getMonth()]!,
  b: (time) => months[time.getMonth()]!.slice(0, 3),
  d: (time) => twoDigits(time.getDate()),
  e: (time) => String(time.getDate()).padStart(2),
  H: (time) => twoDigits(time.getHours()),
  I: (time) => twoDigits(time.getHours() % 12 || 12),
  M: (time) => twoDigits(time.getMinutes()),
  m: (time) => twoDigits(time.getMonth() + 1),
  p: (time) => (time.getHours() < 12 ? "AM" : "PM"),
  S: (time) => twoDigits(time.getSeconds()),
  Y: (time) => String(time.getFullYear()),
  y: (time) => twoDigits(time.getFullYear() % 100),
};

/** Directives that are not known stay as they are. */
export function formatTime(time: Date, format: string): string {
  return format.replaceAll(/%(.)/gs, (directive, letter: string) => directives[letter]?.(time) ?? directive);
}
