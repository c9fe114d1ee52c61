/** A module and all that it imports as one classic script; the build puts its text here. */
declare module "*?text" {
  const text: string;
  export default text;
}
