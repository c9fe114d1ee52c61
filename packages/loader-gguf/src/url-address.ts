/** Addresses on HTTP servers. Credentials and query may be secrets: no message shows them. */
import { FileAccessError } from "@thermocline/spec";
import type { FileAddress } from "./shard-file.js";

/** Takes the credentials out of an address: fetch refuses it with them. @throws FileAccessError */
export function resolveUrl(text: string): FileAddress {
  if (!URL.canParse(text)) throw new FileAccessError(publicUrl(text), "is no valid URL");
  const url = new URL(text);
  const { username, password } = url;
  url.username = "";
  url.password = "";
  const address: FileAddress = { location: { kind: "url", url: url.href }, name: url.origin + url.pathname };
  if (username === "" && password === "") return address;
  return { ...address, authorization: basicAuthorization(decoded(username), decoded(password)) };
}

/** Any text that was given as an address, valid or not, without what may be secret in it. */
export function publicUrl(text: string): string {
  // A password may hold every other mark unescaped, so all goes up to the last "@"; only then is a "?" surely a query's.
  return text.replace(/^([^:]*:\/*)[\s\S]*@/, "$1").replace(/[?#][\s\S]*$/, "");
}

/** RFC 7617, with UTF-8 as its charset. */
function basicAuthorization(username: string, password: string): string {
  return `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${username}:${password}`)))}`;
}

/** A "%" that escapes nothing stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
