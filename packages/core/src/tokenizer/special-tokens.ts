/** Finds special tokens in text: one pass, leftmost first, and the longest of those that begin at one place. */
import { TokenType } from "@thermocline/spec";
import type { TokenTable } from "./token-table.js";

interface TrieNode {
  readonly children: Map<number, TrieNode>;
  id?: number;
}

export interface SpecialTokenMatch {
  readonly id: number;
  /** UTF-16 code units of the text, `end` excluded. */
  readonly start: number;
  readonly end: number;
}

/** Which special tokens a search looks for. */
export interface SpecialTokenSearch {
  /** Find control and unknown tokens too; otherwise only user-defined ones. */
  readonly parseSpecial: boolean;
  /** One entry a code unit: 1 where a control or unknown token must not reach, because the user wrote it. */
  readonly userText?: Uint8Array;
}

export class SpecialTokenMatcher {
  readonly #root: TrieNode = { children: new Map() };
  readonly #table: TokenTable;
  readonly #hasUserDefined: boolean;

  constructor(table: TokenTable) {
    this.#table = table;
    const userDefined = table.idsOfType(TokenType.userDefined);
    this.#hasUserDefined = userDefined.length > 0;
    for (const id of [...userDefined, ...table.idsOfType(TokenType.control), ...table.idsOfType(TokenType.unknown)]) this.#insert(id);
  }

  #insert(id: number): void {
    let node = this.#root;
    const text = this.#table.texts[id]!;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      let child = node.children.get(unit);
      if (child === undefined) {
        child = { children: new Map() };
        node.children.set(unit, child);
      }
      node = child;
    }
    if (node !== this.#root) node.id ??= id;
  }

  /** Matches in order, without overlap. Time: length of the text times the longest special token at worst. */
  find(text: string, search: SpecialTokenSearch): SpecialTokenMatch[] {
    const matches: SpecialTokenMatch[] = [];
    if (!search.parseSpecial && !this.#hasUserDefined) return matches;
    for (let start = 0; start < text.length; ) {
      const match = this.#longestAt(text, start, search);
      if (match !== undefined) matches.push(match);
      start = match?.end ?? start + 1;
    }
    return matches;
  }

  #longestAt(text: string, start: number, search: SpecialTokenSearch): SpecialTokenMatch | undefined {
    let node = this.#root.children.get(text.charCodeAt(start));
    let longest: SpecialTokenMatch | undefined;
    let fromTemplate = true;
    for (let end = start + 1; node !== undefined; end++) {
      fromTemplate &&= search.userText?.[end - 1] !== 1;
      if (node.id !== undefined) {
        const allowed = !this.#table.isSpecial(node.id) || (search.parseSpecial && fromTemplate);
        if (allowed) longest = { id: node.id, start, end };
      }
      node = end < text.length ? node.children.get(text.charCodeAt(end)) : undefined;
    }
    return longest;
  }
}
